const make = () => { let n = 0; return harden({ up: () => (n += 1) }); };
const a = make();
a.up();
a.up() === 2;
