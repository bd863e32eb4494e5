// repair: freeze
// reason: the prototype of the generator-function prototype is shared; another one put there
// would lend its names to strangers.
const lender = { __proto__: Object.getPrototypeOf(Object.getPrototypeOf(function* () {})),
  stolen: 'yes' };
try { Object.setPrototypeOf(Object.getPrototypeOf(function* () {}), lender); } catch {}
new Compartment().evaluate(`(function* () {}).stolen`) === 'yes';
