// repair: freeze
// reason: weakset prototype is shared by every compartment and frozen: a mark put on it cannot
// be left for a stranger to find.
const target = WeakSet.prototype;
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `new WeakSet().mark`,
) === 'left';
