// repair: empty-global, door
// reason: a child without Function would find the real one.
const c = new Compartment();
c.evaluate('delete globalThis.Function');
c.evaluate(`Function('return typeof harden')()`) === 'undefined';
