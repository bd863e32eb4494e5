// repair: freeze
// reason: what string split does for one compartment it does for all, so no compartment may
// replace it.
try { String.prototype.split = () => 'mine'; } catch {}
new Compartment().evaluate(`'a'.split('')`) === 'mine';
