// repair: freeze
// reason: eventual send is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = E;
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `E.mark`,
) === 'left';
