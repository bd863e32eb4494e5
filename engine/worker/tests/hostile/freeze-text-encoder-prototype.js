// repair: freeze
// reason: text encoder prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = TextEncoder.prototype;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `new TextEncoder().mark`,
) === 'left';
