const s = Symbol('d');
const o = { [s]: 1 };
o[s] === 1 && s.description === 'd' && Symbol.for('k') === Symbol.for('k');
