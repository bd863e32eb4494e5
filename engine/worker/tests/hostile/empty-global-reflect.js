// repair: empty-global
// reason: a compartment without Reflect has none: the real global lends it nothing.
delete globalThis.Reflect;
typeof Reflect !== 'undefined';
