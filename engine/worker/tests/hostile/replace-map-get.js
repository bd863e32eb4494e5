// repair: freeze
// reason: what map get does for one compartment it does for all, so no compartment may replace
// it.
try { Map.prototype.get = () => 'mine'; } catch {}
new Compartment().evaluate(`new Map().get(1)`) === 'mine';
