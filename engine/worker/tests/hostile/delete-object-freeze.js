// repair: freeze
// reason: taking object freeze away from strangers is an attack on them; nothing of a primordial
// can be deleted.
try { delete Object.freeze; } catch {}
new Compartment().evaluate(`typeof Object.freeze`) === 'undefined';
