// repair: empty-global
// reason: a compartment without Promise has none: the real global lends it nothing.
delete globalThis.Promise;
typeof Promise !== 'undefined';
