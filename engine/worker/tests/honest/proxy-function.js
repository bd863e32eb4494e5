const p = new Proxy((a) => a, { apply: (t, s, args) => t(...args) + 1 });
p(1) === 2;
