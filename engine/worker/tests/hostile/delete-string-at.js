// repair: freeze
// reason: taking string at away from strangers is an attack on them; nothing of a primordial can
// be deleted.
try { delete String.prototype.at; } catch {}
new Compartment().evaluate(`typeof ''.at`) === 'undefined';
