const w = WeakMap();
const k = {};
w.set(k, 3);
w.get(k) === 3 && !w.has({});
