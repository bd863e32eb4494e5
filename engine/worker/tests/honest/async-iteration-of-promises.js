(async () => { const out = []; for await (const x of [Promise.resolve(1), 2]) out.push(x);
  return out.join() === '1,2'; })();
