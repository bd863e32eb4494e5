// repair: freeze
// reason: the prototype of what assert.quote gives is shared by every compartment and frozen: a
// mark put on it cannot be left for a stranger to find.
const target = Object.getPrototypeOf(assert.quote('x'));
try { Object.assign(target, { mark: 'left' }); } catch {}
new Compartment().evaluate('assert.quote("x").mark') === 'left';
