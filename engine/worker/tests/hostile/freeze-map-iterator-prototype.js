// repair: freeze
// reason: map iterator prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(new Map().keys());
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `new Map().values().mark`,
) === 'left';
