// repair: freeze
// reason: the prototype of the uint8array prototype is shared; another one put there would lend
// its names to strangers.
const lender = { __proto__: Object.getPrototypeOf(Uint8Array.prototype), stolen: 'yes' };
try { Object.setPrototypeOf(Uint8Array.prototype, lender); } catch {}
new Compartment().evaluate(`new Uint8Array(1).stolen`) === 'yes';
