// repair: freeze
// reason: async generator function prototype is shared by every compartment and frozen: a mark
// put on it cannot be left for a stranger to find.
const target = Object.getPrototypeOf(async function* () {});
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `(async function* () {}).mark`,
) === 'left';
