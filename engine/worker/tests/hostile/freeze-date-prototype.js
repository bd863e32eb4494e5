// repair: freeze
// reason: date prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Date.prototype;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `new Date(0).mark`,
) === 'left';
