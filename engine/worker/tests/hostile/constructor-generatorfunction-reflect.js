// repair: GeneratorFunction-constructor, door
// reason: the GeneratorFunction of the shared prototype evaluates in the real global: code would
// run outside its compartment, where not even harden is.
const P = Object.getPrototypeOf((function* () {}));
const C = P.constructor;
(async () => {
  const made = Reflect.construct(C, ['yield typeof harden']);
  return (made().next().value) === 'undefined';
})();
