// repair: freeze
// reason: what object keys does for one compartment it does for all, so no compartment may
// replace it.
try { Object.keys = () => 'mine'; } catch {}
new Compartment().evaluate(`Object.keys({})`) === 'mine';
