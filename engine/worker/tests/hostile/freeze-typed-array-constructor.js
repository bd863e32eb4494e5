// repair: freeze
// reason: typed array constructor is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(Uint8Array);
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `Float64Array.mark`,
) === 'left';
