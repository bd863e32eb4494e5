globalThis.x = 4;
(0, eval)('x + 1') === 5 && eval('var q = 2; q * 2') === 4;
