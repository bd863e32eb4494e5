// repair: empty-global
// reason: a compartment without Map has none: the real global lends it nothing.
delete globalThis.Map;
typeof Map !== 'undefined';
