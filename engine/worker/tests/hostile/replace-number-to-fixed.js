// repair: freeze
// reason: what number to fixed does for one compartment it does for all, so no compartment may
// replace it.
try { Number.prototype.toFixed = () => 'mine'; } catch {}
new Compartment().evaluate(`(1).toFixed()`) === 'mine';
