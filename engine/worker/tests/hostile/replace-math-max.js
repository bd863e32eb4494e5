// repair: freeze
// reason: what math max does for one compartment it does for all, so no compartment may replace
// it.
try { Math.max = () => 'mine'; } catch {}
new Compartment().evaluate(`Math.max(1)`) === 'mine';
