// repair: freeze
// reason: math is shared by every compartment and frozen: a mark put on it cannot be left for a
// stranger to find.
const target = Math;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `Math.mark`,
) === 'left';
