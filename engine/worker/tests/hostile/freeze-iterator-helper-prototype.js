// repair: freeze
// reason: iterator helper prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf([].values().map((x) => x));
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `[].values().take(1).mark`,
) === 'left';
