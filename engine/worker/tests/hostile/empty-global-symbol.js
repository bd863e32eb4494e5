// repair: empty-global
// reason: a compartment without Symbol has none: the real global lends it nothing.
delete globalThis.Symbol;
typeof Symbol !== 'undefined';
