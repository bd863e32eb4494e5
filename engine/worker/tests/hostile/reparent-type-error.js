// repair: freeze
// reason: the prototype of the type-error prototype is shared; another one put there would lend
// its names to strangers.
const lender = { __proto__: Object.getPrototypeOf(TypeError.prototype), stolen: 'yes' };
try { Object.setPrototypeOf(TypeError.prototype, lender); } catch {}
new Compartment().evaluate(`new TypeError().stolen`) === 'yes';
