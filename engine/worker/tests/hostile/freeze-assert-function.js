// repair: freeze
// reason: assert function is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = assert;
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `assert.mark`,
) === 'left';
