// repair: clone-getters
// reason: nor one of an array's elements.
let ran = false;
const a = [1];
Object.defineProperty(a, 0, { get() { ran = true; return 2; } });
try { structuredClone(a); } catch {}
ran;
