// Far(name, object): an object that is passed by reference. Nat(n): a natural number, or an
// exception.
(host) => {
  'use strict';
  const { defineProperty, freeze, isFrozen } = Object;
  const { isSafeInteger } = Number;
  const { toStringTag } = Symbol;

  const Far = (name, object) => {
    if (typeof name !== 'string') throw new TypeError('Far: the name must be a string');
    if ((typeof object !== 'object' || object === null) && typeof object !== 'function') {
      throw new TypeError(`Far: '${name}' must be an object or a function`);
    }
    if (isFrozen(object)) throw new TypeError(`Far: '${name}' is frozen already`);
    const tag = { __proto__: null, value: `Alleged: ${name}`, enumerable: false };
    defineProperty(object, toStringTag, tag);
    return freeze(object);
  };

  const Nat = (n) => {
    const natural = typeof n === 'bigint' ? n >= 0n : isSafeInteger(n) && n >= 0;
    if (natural) return n;
    const type = typeof n;
    const number = type === 'number' || type === 'bigint';
    throw new RangeError(number ? `not a natural number: ${n}` : `not a number: ${type}`);
  };

  return { Far: freeze(Far), Nat: freeze(Nat), harden: host.harden, def: host.harden };
}
