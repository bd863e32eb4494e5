// repair: empty-global
// reason: a compartment without JSON has none: the real global lends it nothing.
delete globalThis.JSON;
typeof JSON !== 'undefined';
