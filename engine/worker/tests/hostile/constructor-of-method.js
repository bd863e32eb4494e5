// repair: Function-constructor, door
// reason: methods of primordials inherit from the shared prototype.
[].map.constructor('return typeof harden')() === 'undefined';
