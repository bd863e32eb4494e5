// repair: freeze
// reason: async generator prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(async function* () {}).prototype;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `(async function* () {})().mark`,
) === 'left';
