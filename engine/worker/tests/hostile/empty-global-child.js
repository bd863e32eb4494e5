// repair: empty-global
// reason: a maker that takes eval from a child has taken it.
const c = new Compartment();
c.evaluate('delete globalThis.eval');
c.evaluate('typeof eval') === 'function';
