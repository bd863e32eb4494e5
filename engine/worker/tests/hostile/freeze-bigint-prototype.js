// repair: freeze
// reason: bigint prototype is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = BigInt.prototype;
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `5n.mark`,
) === 'left';
