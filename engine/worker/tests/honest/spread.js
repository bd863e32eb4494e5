const o = { ...{ a: 1 }, b: 2 };
Math.max(...Object.values(o), ...[0]) === 2;
