// repair: freeze
// reason: number prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Number.prototype;
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `(5).mark`,
) === 'left';
