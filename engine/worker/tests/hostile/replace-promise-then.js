// repair: freeze
// reason: what promise then does for one compartment it does for all, so no compartment may
// replace it.
try { Promise.prototype.then = () => 'mine'; } catch {}
new Compartment().evaluate(`(async () => {})().then()`) === 'mine';
