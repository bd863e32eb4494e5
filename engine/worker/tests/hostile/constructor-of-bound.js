// repair: Function-constructor, door
// reason: a bound function inherits from the shared prototype too.
harden.bind().constructor('return typeof harden')() === 'undefined';
