// repair: freeze
// reason: reflect is shared by every compartment and frozen: a mark put on it cannot be left for
// a stranger to find.
const target = Reflect;
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `Reflect.mark`,
) === 'left';
