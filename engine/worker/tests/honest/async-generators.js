(async () => { async function* g() { yield 1; yield 2; } let s = 0;
  for await (const x of g()) s += x; return s === 3; })();
