// repair: freeze
// reason: compartment prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Compartment.prototype;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `new Compartment().mark`,
) === 'left';
