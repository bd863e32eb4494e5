// repair: freeze
// reason: typed array prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = Object.getPrototypeOf(Uint8Array.prototype);
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `new Int8Array(1).mark`,
) === 'left';
