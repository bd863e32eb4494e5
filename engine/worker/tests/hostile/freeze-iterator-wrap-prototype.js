// repair: freeze
// reason: iterator wrap prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(Iterator.from({ next() {} }));
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `Iterator.from({ next() {} }).mark`,
) === 'left';
