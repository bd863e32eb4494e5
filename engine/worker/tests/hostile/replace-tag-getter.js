// repair: freeze
// reason: what tag getter does for one compartment it does for all, so no compartment may
// replace it.
try { Object.defineProperty(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag, {
  value: 'mine' }); } catch {}
new Compartment().evaluate(`new Uint8Array(1)[Symbol.toStringTag]`) === 'mine';
