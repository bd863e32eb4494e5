// repair: freeze
// reason: async function prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(async () => {});
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `(async () => {}).mark`,
) === 'left';
