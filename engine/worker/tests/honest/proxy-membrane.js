const log = [];
const p = new Proxy({ a: 1 }, { get(t, k, r) { log.push(k); return Reflect.get(t, k, r); } });
p.a === 1 && log[0] === 'a';
