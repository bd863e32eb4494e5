lockdown();
const c = new Compartment({ print: harden(() => 1) }, {}, { name: 'c' });
c.evaluate('print()') === 1 && Object.isFrozen(Object.prototype);
