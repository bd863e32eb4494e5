// repair: freeze
// reason: generator function prototype is shared by every compartment and frozen: a mark put on
// it cannot be left for a stranger to find.
const target = Object.getPrototypeOf(function* () {});
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `(function* () {}).mark`,
) === 'left';
