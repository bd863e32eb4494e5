// repair: freeze
// reason: what array species does for one compartment it does for all, so no compartment may
// replace it.
try { Object.defineProperty(Array, Symbol.species, { value: function () { return {
  __proto__: Array.prototype, mine: 1 }; } }); } catch {}
new Compartment().evaluate(`[1].map((x) => x).mine === 1 ? 'mine' : ''`) === 'mine';
