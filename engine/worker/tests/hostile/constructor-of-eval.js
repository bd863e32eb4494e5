// repair: Function-constructor, door
// reason: a compartment's own eval is a function like others.
eval.constructor('return typeof harden')() === 'undefined';
