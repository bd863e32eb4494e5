// repair: freeze
// reason: array prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Array.prototype;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `[].mark`,
) === 'left';
