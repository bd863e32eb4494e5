const c = new Compartment({ x: 2 });
c.evaluate('x + 1') === 3 && c.globalThis.x === 2;
