// repair: freeze
// reason: string prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = String.prototype;
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `''.mark`,
) === 'left';
