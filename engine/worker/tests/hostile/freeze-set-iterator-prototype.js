// repair: freeze
// reason: set iterator prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(new Set().keys());
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `new Set().values().mark`,
) === 'left';
