// repair: freeze
// reason: what reflect apply does for one compartment it does for all, so no compartment may
// replace it.
try { Reflect.apply = () => 'mine'; } catch {}
new Compartment().evaluate(`Reflect.apply(() => 1, null, [])`) === 'mine';
