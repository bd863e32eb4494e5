// repair: freeze
// reason: proto getter is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Object.getOwnPropertyDescriptor(Object.prototype, '__proto__').get;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `Object.getOwnPropertyDescriptor(Object.prototype, '__proto__').get.mark`,
) === 'left';
