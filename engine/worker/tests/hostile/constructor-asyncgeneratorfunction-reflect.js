// repair: AsyncGeneratorFunction-constructor, door
// reason: the AsyncGeneratorFunction of the shared prototype evaluates in the real global: code
// would run outside its compartment, where not even harden is.
const P = Object.getPrototypeOf((async function* () {}));
const C = P.constructor;
(async () => {
  const made = Reflect.construct(C, ['yield typeof harden']);
  return ((await made().next()).value) === 'undefined';
})();
