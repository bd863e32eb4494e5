// repair: freeze
// reason: the prototype of what assert.details gives is shared by every compartment and frozen: a
// mark put on it cannot be left for a stranger to find.
const target = Object.getPrototypeOf(assert.details`x`);
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate('assert.details`x`.mark') === 'left';
