// repair: freeze
// reason: the prototype of the map prototype is shared; another one put there would lend its
// names to strangers.
const lender = { __proto__: Object.getPrototypeOf(Map.prototype), stolen: 'yes' };
try { Object.setPrototypeOf(Map.prototype, lender); } catch {}
new Compartment().evaluate(`new Map().stolen`) === 'yes';
