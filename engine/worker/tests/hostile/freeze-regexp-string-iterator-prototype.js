// repair: freeze
// reason: regexp string iterator prototype is shared by every compartment and frozen: a mark put
// on it cannot be left for a stranger to find.
const target = Object.getPrototypeOf('a'.matchAll(/a/g));
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `'b'.matchAll(/b/g).mark`,
) === 'left';
