(async () => { const r = await Promise.all([1, Promise.resolve(2)]);
  const s = await Promise.allSettled([Promise.reject(1)]);
  return r.join() + s[0].status === '1,2rejected'; })();
