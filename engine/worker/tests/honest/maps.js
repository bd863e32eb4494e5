const m = new Map([['a', 1]]);
m.set(NaN, 2);
m.get(NaN) === 2 && [...m.keys()].length === 2;
