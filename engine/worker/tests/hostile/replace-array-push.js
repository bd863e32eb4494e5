// repair: freeze, override
// reason: what array push does for one compartment it does for all, so no compartment may
// replace it.
try { Array.prototype.push = () => 'mine'; } catch {}
new Compartment().evaluate(`[].push(1)`) === 'mine';
