// repair: harden-prototype
// reason: a property that is not there may be looked for: adding it to the prototype would
// answer.
const maker = {};
const a = harden({ __proto__: maker });
try { maker.admin = true; } catch {}
a.admin === true;
