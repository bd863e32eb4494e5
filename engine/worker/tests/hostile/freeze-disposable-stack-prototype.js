// repair: freeze
// reason: disposable stack prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = DisposableStack.prototype;
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `new DisposableStack().mark`,
) === 'left';
