// repair: freeze
// reason: handled promise is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = HandledPromise;
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `HandledPromise.mark`,
) === 'left';
