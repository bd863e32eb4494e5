// repair: freeze
// reason: the prototype of the promise prototype is shared; another one put there would lend its
// names to strangers.
const lender = { __proto__: Object.getPrototypeOf(Promise.prototype), stolen: 'yes' };
try { Object.setPrototypeOf(Promise.prototype, lender); } catch {}
new Compartment().evaluate(`Promise.resolve().stolen`) === 'yes';
