// Repairs the override mistake: an inherited property that is frozen cannot be assigned over on an
// heir. Where people do that, a pair of functions stands for the property.
(host) => {
  'use strict';
  const { wanted } = host;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, hasOwn } = Object;
  const { ownKeys } = Reflect;
  const isObject = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';

  const values = new Map();
  host.overridden = values;
  const repair = (object, key, readOnly = false) => {
    const found = getOwnPropertyDescriptor(object, key);
    if (found === undefined || !found.configurable) return;
    if (!found.writable && !(readOnly && 'value' in found)) return;
    const { value, enumerable } = found;
    const name = typeof key === 'symbol' ? `[${key.description}]` : key;
    const pair = {
      get() {
        return value;
      },
      set(given) {
        if (this === object || !isObject(this)) {
          throw new TypeError(`${name} of a primordial is read-only`);
        }
        if (hasOwn(this, key)) this[key] = given;
        else {
          defineProperty(this, key, {
            __proto__: null, value: given, writable: true, enumerable: true, configurable: true,
          });
        }
      },
    };
    defineProperty(pair.get, 'name', { value: `get ${name}` });
    defineProperty(pair.set, 'name', { value: `set ${name}` });
    values.set(pair.get, value);
    defineProperty(object, key, { get: pair.get, set: pair.set, enumerable, configurable: true });
  };

  // What a property stands for, by its getter; the library reads primordials' names with it.
  host.plainValue = (get) => values.get(get);
  if (!wanted('override')) return {};

  for (const name of ownKeys(globalThis)) {
    const { value } = getOwnPropertyDescriptor(globalThis, name);
    if (typeof value !== 'function') continue;
    const prototype = getOwnPropertyDescriptor(value, 'prototype')?.value;
    if (!isObject(prototype)) continue;
    for (const key of ['constructor', 'toString', 'toJSON', 'name', 'message', 'stack']) {
      repair(prototype, key);
    }
  }
  for (const key of ['hasOwnProperty', 'isPrototypeOf', 'propertyIsEnumerable', 'toLocaleString',
    'valueOf']) {
    repair(Object.prototype, key);
  }
  for (const key of ['apply', 'bind', 'call']) repair(Function.prototype, key);
  for (const key of ['concat', 'push', Symbol.iterator]) repair(Array.prototype, key);
  repair(Iterator.prototype, Symbol.iterator);
  const typedArray = getPrototypeOf(Uint8Array.prototype);
  for (const key of ownKeys(typedArray)) repair(typedArray, key);
  // What only syntax reaches: `constructor` is read-only there from the start.
  for (const made of [function* () {}, async () => {}, async function* () {}]) {
    repair(getPrototypeOf(made), 'constructor', true);
  }
  return {};
}
