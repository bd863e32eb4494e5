// With infix !: one object of each kind that syntax or a call makes, by name. A script; its value
// is the maker.
(async () => {
  'use strict';
  const { getPrototypeOf } = Object;
  const out = { __proto__: null };
  const nothing = () => {};
  const thrown = (work) => {
    try {
      work();
    } catch (error) {
      return error;
    }
    throw new Error('nothing was thrown');
  };

  // Functions and classes.
  out['function'] = function named() {};
  out['arrow'] = () => {};
  out['method'] = ({ m() {} }).m;
  out['accessor'] = { get x() { return 1; }, set x(given) {} };
  out['generator function'] = function* () {};
  out['async function'] = async function () {};
  out['async arrow'] = async () => {};
  out['async generator function'] = async function* () {};
  out['class'] = class { #x = 1; static s = 1; get x() { return this.#x; } static { } };
  out['class of null'] = class extends null {};
  out['heir'] = class extends Array {};
  out['heir of Compartment'] = class extends Compartment {};
  out['bound'] = function () {}.bind(undefined);
  out['bound class'] = (class {}).bind();
  out['evaluated'] = (0, eval)('(function () {})');
  out['of Function'] = new Function('return 1');
  out['arguments'] = (function () { return arguments; })(1);
  out['template object'] = ((strings) => strings)`a${1}b`;

  // Literals and boxes.
  out['object'] = {};
  out['array'] = [];
  out['regexp'] = /(?<name>x)/dgy;
  out['match'] = /(?<name>x)/d.exec('x');
  for (const value of [1, 'x', true, 1n, Symbol.iterator]) out[`box ${typeof value}`] =
    Object(value);
  out['instance'] = new (class { #p = 1; f = () => this.#p; })();

  // Generators and iterators.
  out['generator'] = (function* () { yield 1; })();
  out['async generator'] = (async function* () { yield 1; })();
  out['promise of async generator'] = (async function* () {})().next();
  out['iterator result'] = [].values().next();
  out['array iterator'] = [].values();
  out['string iterator'] = ''[Symbol.iterator]();
  out['map iterator'] = new Map().entries();
  out['set iterator'] = new Set().values();
  out['regexp string iterator'] = 'x'.matchAll(/x/g);
  out['typed array iterator'] = new Uint8Array(1).values();
  for (const [name, given] of [['map', nothing], ['filter', nothing], ['flatMap', nothing],
    ['take', 1], ['drop', 1]]) {
    out[`iterator helper ${name}`] = [].values()[name](given);
  }
  out['iterator concat'] = Iterator.concat([1]);
  out['iterator wrap'] = Iterator.from({ next() { return { done: true }; } });
  for (const name of ['zip', 'zipKeyed']) {
    if (typeof Iterator[name] === 'function') out[`iterator ${name}`] = Iterator[name]([[1]]);
  }
  out['heir of Iterator'] = new (class extends Iterator {})();
  // The wrapper that `for await` and `yield*` put around an iterator that waits for nothing shows
  // itself by what it asks of that iterator.
  const asked = [];
  const plain = {
    [Symbol.iterator]() { return this; },
    next(...given) { asked.push(this, given); return { done: true }; },
  };
  for await (const x of plain) asked.push(x);
  await (async function* () { yield* plain; })().next();
  out['for await asks'] = asked;

  // Promises.
  const kit = Promise.withResolvers();
  out['promise kit'] = kit;
  out['promise'] = Promise.resolve(1);
  out['promise of await'] = (async () => {})();
  const inner = [];
  const Capable = function (executor) {
    inner.push(executor);
    executor((value) => inner.push(value), (value) => inner.push(value));
  };
  Capable.resolve = () => ({ then(...reactions) { inner.push(...reactions); } });
  for (const name of ['all', 'allSettled', 'any', 'race', 'resolve', 'reject', 'try']) {
    Promise[name].call(Capable, name === 'try' ? () => 1 : [1]);
  }
  Promise.withResolvers.call(Capable);
  Promise.prototype.finally.call({
    constructor: Capable, then(...reactions) { inner.push(...reactions); },
  }, () => {});
  await { then(...resolvers) { inner.push(...resolvers); resolvers[0](); } };
  out['promise insides'] = inner;
  out['array from async'] = await Array.fromAsync([1]);

  // Proxies.
  out['proxy'] = new Proxy({}, {});
  out['proxy function'] = new Proxy(function () {}, {});
  out['revocable'] = Proxy.revocable({}, {});
  const trapped = [];
  const spy = new Proxy({}, new Proxy({}, {
    get(_, name) { return (...given) => { trapped.push(given); return Reflect[name](...given); }; },
  }));
  spy.x = 1;
  delete spy.x;
  Object.defineProperty(spy, 'y', { value: 1, configurable: true });
  getPrototypeOf(spy);
  out['trapped'] = trapped;

  // Resources.
  out['disposable stack'] = new DisposableStack();
  out['async disposable stack'] = new AsyncDisposableStack();
  const disposed = [];
  {
    using resource = { [Symbol.dispose]() { disposed.push(this, arguments); } };
  }
  {
    await using resource = { [Symbol.asyncDispose]() { disposed.push(this, arguments); } };
  }
  out['disposed'] = disposed;

  // Bytes, collections, time.
  for (const name of ['Int8', 'Uint8', 'Uint8Clamped', 'Int16', 'Uint16', 'Int32', 'Uint32',
    'BigInt64', 'BigUint64', 'Float16', 'Float32', 'Float64']) {
    out[`${name} array`] = new globalThis[`${name}Array`](1);
  }
  out['buffer'] = new ArrayBuffer(1);
  out['resizable buffer'] = new ArrayBuffer(1, { maxByteLength: 2 });
  out['data view'] = new DataView(new ArrayBuffer(1));
  out['map'] = new Map([[1, 2]]);
  out['map without new'] = Map();
  out['set'] = new Set([1]);
  out['weak map'] = new WeakMap();
  out['weak set'] = new WeakSet();
  out['groups'] = [Object.groupBy([1], () => 'a'), Map.groupBy([1], () => 'a')];
  out['date'] = new Date(0);
  out['raw json'] = typeof JSON.rawJSON === 'function' ? JSON.rawJSON('1') : {};
  out['parsed'] = JSON.parse('{"a":[1]}');

  // Errors as the engine throws them.
  out['TypeError'] = thrown(() => null.x);
  out['ReferenceError'] = thrown(() => nowhere);
  out['RangeError'] = thrown(() => new Array(-1));
  out['SyntaxError'] = thrown(() => (0, eval)('('));
  out['SyntaxError of Function'] = thrown(() => new Function('('));
  out['SyntaxError of RegExp'] = thrown(() => new RegExp('('));
  out['SyntaxError of JSON'] = thrown(() => JSON.parse('{'));
  out['URIError'] = thrown(() => decodeURI('%'));
  out['InternalError'] = thrown(() => { for (let s = 'x'.repeat(9999); ;) s += s; });
  if (getPrototypeOf(out.InternalError).name !== 'InternalError') throw out.InternalError;
  out['AggregateError'] = await Promise.any([]).catch((error) => error);
  out['SuppressedError'] = thrown(() => {
    using first = { [Symbol.dispose]() { throw 1; } };
    throw 2;
  });
  out['error of import'] = await import('nowhere').catch((error) => error);
  for (const name of ['Error', 'EvalError']) out[name] = new globalThis[name]('m', { cause: 1 });

  // What the library makes.
  const compartment = new Compartment({ __options__: true, modules: { m: `
    export let n = 1; export const meta = import.meta; export default class {}` } });
  out['compartment'] = compartment;
  out['namespace'] = (await compartment.import('m')).namespace;
  out['E'] = [E({ m() {} }), E.get({}), E.sendOnly({})];
  out['promise of E'] = E({ m() { return 1; } }).m();
  out['promise of !'] = ({ m() { return 1; } }) ! m();
  out['HandledPromise'] = new HandledPromise((resolve, reject, resolveWithPresence) => {
    out['HandledPromise resolvers'] = [resolve, reject, resolveWithPresence];
  });
  out['presence'] = (() => {
    let made;
    const promise = new HandledPromise((resolve, reject, resolveWithPresence) => {
      made = resolveWithPresence({});
    });
    return [made, promise];
  })();
  out['presence by proxy'] = (() => {
    const made = [];
    made.push(new HandledPromise((resolve, reject, resolveWithPresence) => {
      const revokerCallback = (revoke) => made.push(revoke);
      made.push(resolveWithPresence({}, { proxy: { handler: {}, revokerCallback } }));
    }));
    return made;
  })();
  out['Q'] = Q(1);
  out['Q defer'] = Q.defer();
  out['Q async'] = Q.async(function* () {});
  out['Q memoize'] = Q.memoize(() => 1);
  out['Q inspect'] = Q.inspect(1);
  out['Q all'] = Q.all([1]);
  const flow = new Flow();
  out['flow'] = flow;
  out['vow'] = flow.makeVow((resolve, reject) => { out['vow resolvers'] = [resolve, reject]; });
  out['vow resolved'] = Vow.resolve(1);
  out['vow then'] = Vow.resolve(1).then(() => 1);
  out['far'] = Far('it', { m() {} });
  out['hardened'] = harden({ a: [() => 1] });
  out['text encoder'] = new TextEncoder();
  out['text decoder'] = new TextDecoder();
  out['clone'] = structuredClone({ a: [new Error('m')] });
  out['assertion'] = thrown(() => assert(false, 'm'));
  out['assertion of Fail'] = thrown(() => assert.Fail`m`);
  out['quote'] = assert.quote('x');
  out['details'] = assert.details`m`;
  out['refusals'] = [thrown(() => Date.now()), thrown(() => Math.random()),
    thrown(() => new Compartment(5))];
  return out;
})
