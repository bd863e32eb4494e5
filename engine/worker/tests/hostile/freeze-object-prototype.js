// repair: freeze
// reason: object prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Object.prototype;
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `({}).mark`,
) === 'left';
