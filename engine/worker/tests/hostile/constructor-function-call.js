// repair: Function-constructor, door
// reason: the Function of the shared prototype evaluates in the real global: code would run
// outside its compartment, where not even harden is.
const P = Object.getPrototypeOf((() => {}));
const C = P.constructor;
(async () => {
  const made = C('return typeof harden');
  return (made()) === 'undefined';
})();
