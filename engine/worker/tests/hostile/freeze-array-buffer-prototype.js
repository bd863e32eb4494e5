// repair: freeze
// reason: array buffer prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = ArrayBuffer.prototype;
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `new ArrayBuffer(1).mark`,
) === 'left';
