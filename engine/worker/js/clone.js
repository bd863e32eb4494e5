// structuredClone: a copy of passable data that shares nothing with the original. Runs no getter.
//
// What is passed by reference (functions, promises, objects of methods) has no copy, and neither
// has a class instance; each is refused with the place where it stands.
(host) => {
  'use strict';
  const { bytesCopy, wanted } = host;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, create } = Object;
  const { ownKeys } = Reflect;
  const { isArray } = Array;
  const { isError } = Error;
  const { keyFor } = Symbol;
  const objectPrototype = Object.prototype;
  const DEPTH_MAX = 120;
  const errors = { __proto__: null };
  for (const made of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError,
    URIError]) {
    defineProperty(errors, made.name, { value: made });
  }

  const slot = (object, key, value) => {
    defineProperty(object, key, {
      __proto__: null, value, writable: true, enumerable: true, configurable: true,
    });
  };

  // `value.a[0]`: where in the argument something stands.
  const placed = (place, key) => (typeof key === 'symbol' ? `${place}[symbol]` : `${place}.${key}`);

  const refuse = (place, what) => {
    throw new TypeError(`structuredClone: ${place} ${what}`);
  };

  const dataOf = (object, key, place) => {
    const found = getOwnPropertyDescriptor(object, key);
    if (found === undefined) return undefined;
    if (found.get !== undefined || found.set !== undefined) {
      if (!wanted('clone-getters')) return object[key];
      refuse(place, 'is an accessor, which cannot be copied');
    }
    return found.value;
  };

  const copyError = (error, place) => {
    const text = (key) => {
      let at = error;
      for (let depth = 0; at !== null && depth < 20; depth += 1) {
        const found = getOwnPropertyDescriptor(at, key);
        if (found !== undefined && typeof found.value === 'string') return found.value;
        if (found !== undefined && found.get !== undefined) return host.plainValue(found.get);
        at = getPrototypeOf(at);
      }
      return undefined;
    };
    const made = errors[text('name')] ?? Error;
    return new made(text('message') ?? '');
  };

  const copy = (value, place, parents) => {
    switch (typeof value) {
      case 'symbol':
        if (keyFor(value) !== undefined) return value;
        return refuse(place, 'is a symbol that is not registered');
      case 'function':
        return refuse(place, 'is a function, which is passed by reference and has no copy');
      case 'object':
        break;
      default:
        return value;
    }
    if (value === null) return null;
    for (let up = parents; up !== undefined; up = up.parents) {
      if (up.value === value) refuse(place, 'contains itself');
      if (up.depth >= DEPTH_MAX) refuse(place, `is nested deeper than ${DEPTH_MAX} levels`);
    }
    const depth = parents === undefined ? 1 : parents.depth + 1;
    const within = { __proto__: null, value, parents, depth };
    const bytes = bytesCopy(value);
    if (bytes !== undefined) return bytes;
    if (isError(value)) return copyError(value, place);
    if (isArray(value)) {
      const out = [];
      const length = getOwnPropertyDescriptor(value, 'length').value;
      for (let at = 0; at < length; at += 1) {
        const there = `${place}[${at}]`;
        slot(out, at, copy(dataOf(value, at, there), there, within));
      }
      return out;
    }
    const prototype = getPrototypeOf(value);
    if (prototype !== objectPrototype && prototype !== null) {
      refuse(place, 'is an instance of a class, which has no copy');
    }
    const out = create(objectPrototype);
    const keys = ownKeys(value);
    for (let at = 0; at < keys.length; at += 1) {
      const key = keys[at];
      const there = placed(place, key);
      if (typeof key === 'symbol') refuse(there, 'is a property named by a symbol');
      if (getOwnPropertyDescriptor(value, key)?.enumerable) {
        slot(out, key, copy(dataOf(value, key, there), there, within));
      }
    }
    return out;
  };

  return {
    structuredClone: function structuredClone(value) {
      return copy(value, 'the value', undefined);
    },
  };
}
