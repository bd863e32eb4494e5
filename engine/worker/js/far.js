// Far(name, object): an object that is passed by reference. Nat(n): a natural number, or an
// exception.
//
// Far leaves the tags that a bundled copy of Endo's pass-style leaves and looks for: a frozen
// prototype of the object's own with `Symbol.for('passStyle')` and `Symbol.toStringTag`. So either
// takes the other's objects for what they are.
(host) => {
  'use strict';
  const { create, defineProperties, freeze, getPrototypeOf, isFrozen, setPrototypeOf } = Object;
  const { isSafeInteger } = Number;
  const { toStringTag } = Symbol;
  const passStyle = Symbol.for('passStyle');
  const objectPrototype = Object.prototype;
  const functionPrototype = Function.prototype;

  const hidden = (value) => ({ __proto__: null, value, enumerable: false });

  const Far = (name, object) => {
    if (typeof name !== 'string') throw new TypeError('Far: the name must be a string');
    if ((typeof object !== 'object' || object === null) && typeof object !== 'function') {
      throw new TypeError(`Far: '${name}' must be an object or a function`);
    }
    if (isFrozen(object)) throw new TypeError(`Far: '${name}' is frozen already`);
    const tags = {
      __proto__: null, [passStyle]: hidden('remotable'), [toStringTag]: hidden(`Alleged: ${name}`),
    };
    const prototype = getPrototypeOf(object) ?? objectPrototype;
    // An instance of a class inherits from that, and carries the tags itself.
    if (prototype === objectPrototype || prototype === functionPrototype) {
      setPrototypeOf(object, freeze(create(prototype, tags)));
    } else {
      defineProperties(object, tags);
    }
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
