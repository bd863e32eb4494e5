// repair: freeze
// reason: regexp prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = RegExp.prototype;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `/x/.mark`,
) === 'left';
