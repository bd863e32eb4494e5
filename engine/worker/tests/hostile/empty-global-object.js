// repair: empty-global
// reason: a compartment without Object has none: the real global lends it nothing.
delete globalThis.Object;
typeof Object !== 'undefined';
