// repair: freeze
// reason: taking proto accessor away from strangers is an attack on them; nothing of a
// primordial can be deleted.
try { delete Object.prototype.__proto__; } catch {}
new Compartment().evaluate(`'__proto__' in {} ? 'function' : 'undefined'`) === 'undefined';
