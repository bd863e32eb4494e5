// repair: freeze
// reason: what error message does for one compartment it does for all, so no compartment may
// replace it.
try { Object.defineProperty(Error.prototype, 'message', { value: 'mine' }); } catch {}
new Compartment().evaluate(`new Error().message`) === 'mine';
