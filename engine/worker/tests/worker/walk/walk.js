// Walks everything that roots lead to: own properties, symbols too, accessors and what they give,
// prototypes. A script; its value is the function.
//
// A root is a path and two objects that were made the same way, in two compartments or by the same
// syntax twice. Where both lead to one object it is shared, and must be frozen and keep nothing;
// where they lead to two, each has its own. What has no counterpart is taken to be shared. A third
// value is true where both are of one compartment, and may lead to what is that compartment's own.
(() => {
  'use strict';
  const { isFrozen, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { apply, get, ownKeys } = Reflect;
  // An own object that leads to own objects this deep is taken to make new ones for ever.
  const DEPTH_MAX = 8;

  const isObject = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';
  const getter = (object, key) => getOwnPropertyDescriptor(object, key).get;
  const bytes = getPrototypeOf(Uint8Array.prototype);
  const sizes = [
    getter(Map.prototype, 'size'), getter(Set.prototype, 'size'),
    getter(ArrayBuffer.prototype, 'byteLength'), getter(DataView.prototype, 'byteLength'),
    getter(bytes, 'buffer'), Date.prototype.getTime,
    function weakMap() { return WeakMap.prototype.has.call(this, {}); },
    function weakSet() { return WeakSet.prototype.has.call(this, {}); },
  ];
  // Whether freezing leaves something of this object that can change.
  const keeps = (object) => sizes.some((size) => {
    try {
      apply(size, object, []);
      return true;
    } catch {
      return false;
    }
  });
  const read = (object, key) => {
    try {
      return get(object, key);
    } catch {
      return undefined;
    }
  };
  const step = (key) => (typeof key === 'symbol' ? `@@${key.description}` : `.${key}`);

  return (roots) => {
    const items = [];
    const faults = [];
    const seen = new Map();
    const [properties, prototypes] = [[], []];
    const take = ({ path, a, b, depth }, same) => {
      if (!isObject(a)) return;
      const shared = a === b || !isObject(b);
      const before = seen.get(a);
      if (before !== undefined) {
        const leaked = a === b && !before.shared && !same;
        if (leaked) faults.push(`shared, but ${before.path} is own: ${path}`);
        return;
      }
      const item = { path, object: a, shared };
      seen.set(a, item);
      items.push(item);
      if (shared && !isFrozen(a)) faults.push(`not frozen: ${path}`);
      if (shared && keeps(a)) faults.push(`keeps something: ${path}`);
      if (depth > DEPTH_MAX) {
        faults.push(`leads to new objects for ever: ${path}`);
        return;
      }
      const twin = shared ? a : b;
      const deeper = shared ? 0 : depth + 1;
      const add = (list, name, first, second) =>
        list.push({ path: path + name, a: first, b: second, depth: deeper });
      for (const key of ownKeys(a)) {
        const mine = getOwnPropertyDescriptor(a, key);
        const other = getOwnPropertyDescriptor(twin, key);
        if ('value' in mine) add(properties, step(key), mine.value, other?.value);
        else {
          add(properties, `${step(key)}{get}`, mine.get, other?.get);
          add(properties, `${step(key)}{set}`, mine.set, other?.set);
          add(properties, step(key), read(a, key), read(twin, key));
        }
      }
      // What inherited accessors give this object and not their holder.
      if (!shared) {
        for (let at = getPrototypeOf(a); at !== null; at = getPrototypeOf(at)) {
          for (const key of ownKeys(at)) {
            const found = getOwnPropertyDescriptor(at, key);
            if (found.get === undefined) continue;
            add(properties, step(key), read(a, key), read(twin, key));
          }
        }
      }
      add(prototypes, '{proto}', getPrototypeOf(a), getPrototypeOf(twin));
    };
    for (const [path, a, b, same] of roots) {
      properties.push({ path, a, b, depth: 0 });
      // Breadth first, prototypes after all else: so paths are those people would write.
      for (let at = 0, up = 0; ;) {
        if (at < properties.length) take(properties[at++], same);
        else if (up < prototypes.length) take(prototypes[up++], same);
        else break;
      }
      properties.length = 0;
      prototypes.length = 0;
    }
    return { items, faults };
  };
})()
