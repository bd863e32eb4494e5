// repair: freeze
// reason: error prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Error.prototype;
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `new Error().mark`,
) === 'left';
