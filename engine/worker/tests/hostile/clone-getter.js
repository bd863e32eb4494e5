// repair: clone-getters
// reason: copying runs no getter: it would see when and by whom it is copied.
let ran = false;
try { structuredClone({ get a() { ran = true; return 1; } }); } catch {}
ran;
