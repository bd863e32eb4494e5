// repair: freeze
// reason: taking promise all away from strangers is an attack on them; nothing of a primordial
// can be deleted.
try { delete Promise.all; } catch {}
new Compartment().evaluate(`typeof Promise.all`) === 'undefined';
