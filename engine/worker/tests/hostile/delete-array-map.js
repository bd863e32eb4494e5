// repair: freeze
// reason: taking array map away from strangers is an attack on them; nothing of a primordial can
// be deleted.
try { delete Array.prototype.map; } catch {}
new Compartment().evaluate(`typeof [].map`) === 'undefined';
