// repair: Function-constructor, door
// reason: a class is a function, and its constructor is that of the shared prototype.
class A {}
A.constructor('return typeof harden')() === 'undefined';
