// repair: harden-whole
// reason: a trap that throws ends a hardening in the middle; the next one must do what the first
// did not.
const inner = { a: { b: 1 } };
const bad = new Proxy({}, { preventExtensions() { throw 1; } });
const x = { inner, bad };
try { harden(x); } catch {}
const y = harden({ x: x.inner === inner ? inner : 0 });
try { inner.a.b = 2; } catch {}
inner.a.b === 2;
