// repair: freeze
// reason: aggregate error is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = AggregateError;
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `AggregateError.mark`,
) === 'left';
