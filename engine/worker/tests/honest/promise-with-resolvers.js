(async () => { const { promise, resolve } = Promise.withResolvers(); resolve(6);
  return (await promise) === 6; })();
