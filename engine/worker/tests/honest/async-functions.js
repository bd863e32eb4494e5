(async () => { const f = async (x) => (await x) + 1;
  return (await f(Promise.resolve(1))) === 2; })();
