// repair: freeze
// reason: harden function is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = harden;
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `harden.mark`,
) === 'left';
