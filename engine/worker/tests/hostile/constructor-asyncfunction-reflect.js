// repair: AsyncFunction-constructor, door
// reason: the AsyncFunction of the shared prototype evaluates in the real global: code would run
// outside its compartment, where not even harden is.
const P = Object.getPrototypeOf((async () => {}));
const C = P.constructor;
(async () => {
  const made = Reflect.construct(C, ['return typeof harden']);
  return (await made()) === 'undefined';
})();
