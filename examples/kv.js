// A map of at most 1,000 keys, and a count of its updates.
//
//   kenvat run examples/kv.js
//   kenvat call kv update colour green    1: the first update
//   kenvat call kv get colour             "green"
//   kenvat call kv size                   1
//
// After kill -9 and a new start, `get` finds every value whose `update` was answered, and the count
// goes on where it was.
//
// When the map is full, `update` of a new key is refused and changes nothing, the count included;
// `remove` makes room. Keys that are there can be updated as before. So `k0` to `k999` can be
// updated for ever, which is what the benches do.

const KEYS_MAX = 1000;

export default () => {
  const values = new Map();
  let updates = 0;

  return Far('kv', {
    update(key, value) {
      if (typeof key !== 'string') {
        throw new TypeError('a key is a string');
      }
      if (!values.has(key) && values.size >= KEYS_MAX) {
        throw new RangeError(`the map has ${KEYS_MAX} keys and takes no other; remove one first`);
      }
      values.set(key, value);
      updates += 1;
      return updates;
    },
    get: (key) => values.get(key),
    size: () => values.size,
    remove: (key) => values.delete(key),
    updates: () => updates,
  });
};
