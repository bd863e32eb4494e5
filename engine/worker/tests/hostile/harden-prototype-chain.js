// repair: harden-prototype
// reason: also the prototype's prototype.
const top = { ok: () => false };
const low = harden({ __proto__: { __proto__: top } });
try { top.ok = () => true; } catch {}
low.ok();
