// repair: freeze
// reason: what json stringify does for one compartment it does for all, so no compartment may
// replace it.
try { JSON.stringify = () => 'mine'; } catch {}
new Compartment().evaluate(`JSON.stringify(1)`) === 'mine';
