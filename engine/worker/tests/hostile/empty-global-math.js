// repair: empty-global
// reason: a compartment without Math has none: the real global lends it nothing.
delete globalThis.Math;
typeof Math !== 'undefined';
