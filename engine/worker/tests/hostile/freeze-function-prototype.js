// repair: freeze
// reason: function prototype is shared by every compartment and frozen: a mark put on it cannot
// be left for a stranger to find.
const target = Function.prototype;
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `(() => {}).mark`,
) === 'left';
