// harden(x): freezes x, everything its own properties hold and its prototypes, running no getter.
// What private fields hold stays writable: that is how hardened objects keep state.
() => {
  'use strict';
  const { defineProperty, freeze, getOwnPropertyDescriptor, getOwnPropertyNames } = Object;
  const { getPrototypeOf, preventExtensions } = Object;
  const { ownKeys, apply } = Reflect;
  const { isView } = ArrayBuffer;
  const { has: weakSetHas, add: weakSetAdd } = WeakSet.prototype;
  const done = new WeakSet();
  const isDone = (object) => apply(weakSetHas, done, [object]);
  const markDone = (object) => apply(weakSetAdd, done, [object]);

  // The primordials are not for a program to freeze: others of the realm rely on them.
  const skip = (object) => {
    if (isPassedOver(object)) markDone(object);
  };
  const isPassedOver = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';
  for (const name of getOwnPropertyNames(globalThis)) {
    const { value } = getOwnPropertyDescriptor(globalThis, name);
    skip(value);
    if (typeof value === 'function') skip(value.prototype);
  }
  skip(globalThis);
  const bare = [function* () {}, async () => {}, async function* () {}];
  for (const fn of bare) {
    let prototype = getPrototypeOf(fn);
    skip(prototype);
    skip(prototype.prototype);
    if (isPassedOver(prototype.prototype)) skip(getPrototypeOf(prototype.prototype));
    skip(prototype.constructor);
  }
  for (const iterator of [[].values(), ''[Symbol.iterator](), new Map().keys(), new Set().keys()]) {
    skip(getPrototypeOf(iterator));
    skip(getPrototypeOf(getPrototypeOf(iterator)));
  }
  skip(getPrototypeOf(Uint8Array));
  skip(getPrototypeOf(Uint8Array).prototype);

  const harden = (root) => {
    // Indexed by hand: no method of a prototype that a program may have changed.
    const queue = [];
    let length = 0;
    let next = 0;
    const visit = (value) => {
      if (!isPassedOver(value) || isDone(value)) return;
      markDone(value);
      defineSlot(queue, length, value);
      length += 1;
    };
    visit(root);
    while (next < length) {
      const object = queue[next];
      next += 1;
      // The elements of a typed array cannot be frozen; it can be kept from growing properties.
      if (isView(object)) preventExtensions(object);
      else freeze(object);
      visit(getPrototypeOf(object));
      const keys = ownKeys(object);
      for (let at = 0; at < keys.length; at += 1) {
        const property = getOwnPropertyDescriptor(object, keys[at]);
        visit(property.value);
        visit(property.get);
        visit(property.set);
      }
    }
    return root;
  };

  const defineSlot = (array, index, value) => {
    defineProperty(array, index, { __proto__: null, value, writable: true, configurable: true });
  };

  return { harden: freeze(harden), def: harden };
}
