// repair: freeze
// reason: the prototype of the array prototype is shared; another one put there would lend its
// names to strangers.
const lender = { __proto__: Object.getPrototypeOf(Array.prototype), stolen: 'yes' };
try { Object.setPrototypeOf(Array.prototype, lender); } catch {}
new Compartment().evaluate(`[].stolen`) === 'yes';
