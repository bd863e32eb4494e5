// repair: freeze
// reason: array species getter is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getOwnPropertyDescriptor(Array, Symbol.species).get;
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `Object.getOwnPropertyDescriptor(Array, Symbol.species).get.mark`,
) === 'left';
