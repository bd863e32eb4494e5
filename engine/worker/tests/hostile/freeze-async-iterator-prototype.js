// repair: freeze
// reason: async iterator prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}).prototype);
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `(async function* () {})().mark`,
) === 'left';
