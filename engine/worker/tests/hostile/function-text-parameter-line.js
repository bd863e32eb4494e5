// repair: function-text
// reason: Function pastes its texts into one expression: a text that ends the function early
// would run when the function is made.
let ran = false;
globalThis.hit = () => { ran = true; };
try { Function('a){}), hit(), (function (b', 'return 1'); } catch {}
ran;
