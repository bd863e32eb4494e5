// repair: freeze
// reason: iterator prototype is shared by every compartment and frozen: a mark put on it cannot
// be left for a stranger to find.
const target = Iterator.prototype;
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `[].values().mark`,
) === 'left';
