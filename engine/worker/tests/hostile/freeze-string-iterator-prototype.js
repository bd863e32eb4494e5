// repair: freeze
// reason: string iterator prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(''[Symbol.iterator]());
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `'a'[Symbol.iterator]().mark`,
) === 'left';
