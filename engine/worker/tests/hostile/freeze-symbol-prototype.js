// repair: freeze
// reason: symbol prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Symbol.prototype;
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `Symbol().mark`,
) === 'left';
