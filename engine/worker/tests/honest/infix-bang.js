// The infix ! in a program.
(async () => { const p = { add: (a, b) => a + b, n: 5 }; return (await (p ! add(1,
  2))) + (await (p ! n)) === 8; })();
