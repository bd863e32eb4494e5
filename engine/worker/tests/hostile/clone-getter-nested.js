// repair: clone-getters
// reason: nor one deep inside.
let ran = false;
const a = { b: [{ get c() { ran = true; return 3; } }] };
try { structuredClone(a); } catch {}
ran;
