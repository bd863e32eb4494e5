// repair: freeze
// reason: map prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Map.prototype;
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `new Map().mark`,
) === 'left';
