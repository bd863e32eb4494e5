// repair: error-stack
// reason: an error of the engine carries a stack as well.
let e;
try { null.x; } catch (error) { e = error; }
typeof e.stack === 'string' && e.stack !== '';
