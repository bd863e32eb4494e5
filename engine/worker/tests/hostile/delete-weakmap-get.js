// repair: freeze
// reason: taking weakmap get away from strangers is an attack on them; nothing of a primordial
// can be deleted.
try { delete WeakMap.prototype.get; } catch {}
new Compartment().evaluate(`typeof new WeakMap().get`) === 'undefined';
