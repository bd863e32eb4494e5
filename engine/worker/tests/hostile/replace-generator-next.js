// repair: freeze
// reason: what generator next does for one compartment it does for all, so no compartment may
// replace it.
try { Object.getPrototypeOf(function* () {}).prototype.next = () => 'mine'; } catch {}
new Compartment().evaluate(`(function* () {})().next()`) === 'mine';
