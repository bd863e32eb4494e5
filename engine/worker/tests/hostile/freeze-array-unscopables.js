// repair: freeze
// reason: array unscopables is shared by every compartment and frozen: a mark put on it cannot
// be left for a stranger to find.
const target = Array.prototype[Symbol.unscopables];
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `Array.prototype[Symbol.unscopables].mark`,
) === 'left';
