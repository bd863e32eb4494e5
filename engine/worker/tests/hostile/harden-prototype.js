// repair: harden-prototype
// reason: what is inherited is part of the object: an open prototype changes a hardened one.
class A { ok() { return false; } }
const a = harden(new A());
try { A.prototype.ok = () => true; } catch {}
a.ok();
