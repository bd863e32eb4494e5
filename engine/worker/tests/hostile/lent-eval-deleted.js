// repair: lender
// reason: a compartment whose eval is deleted has none.
delete globalThis.eval;
typeof eval === 'function';
