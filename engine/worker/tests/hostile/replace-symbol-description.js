// repair: freeze
// reason: what symbol description does for one compartment it does for all, so no compartment
// may replace it.
try { Object.defineProperty(Symbol.prototype, 'description', { value: 'mine' }); } catch {}
new Compartment().evaluate(`Symbol('a').description`) === 'mine';
