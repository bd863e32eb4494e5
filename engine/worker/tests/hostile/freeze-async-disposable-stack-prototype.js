// repair: freeze
// reason: async disposable stack prototype is shared by every compartment and frozen: a mark put
// on it cannot be left for a stranger to find.
const target = AsyncDisposableStack.prototype;
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate(
  `new AsyncDisposableStack().mark`,
) === 'left';
