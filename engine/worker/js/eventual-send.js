// Eventual send: E, HandledPromise, and what `x ! m(a)` calls.
//
// Sends to local objects are C code (`host.sender`, `host.sendLocal`); here is everything a promise
// or a presence adds. A promise of ours carries #mail; a presence carries #handler; both are
// private names, so no program can see, forge or list them.
//
// A promise of ours has a mailbox once something is sent to it: its sends wait in a queue and leave
// it in their order, one in a job, to wherever the promise leads by then:
// - while it has a handler, to the handler;
// - once it is resolved with another promise of ours, to that one's mailbox, at its tail;
// - once it is fulfilled, to the value; once it is rejected, each send's promise is rejected alike.
// A promise of others is waited for. Handlers are called in jobs only.
(host) => {
  'use strict';
  const { brand, sender, send, sendLocal, settler } = host;
  const { react, promiseState, promiseResult, later, unhandled } = host;
  const { methodOf, propertyOf, methodNames, harden } = host;
  const { defineProperty, getPrototypeOf, setPrototypeOf } = Object;
  const { freeze, getOwnPropertyNames } = Object;
  const { apply, ownKeys } = Reflect;
  const promisePrototype = Promise.prototype;

  const GET = 0;
  const METHOD = 1;
  const FUNCTION = 2;

  const PENDING = 0;
  const FULFILLED = 1;
  const REJECTED = 2;

  // A constructor that gives back its argument: fields of a class below are put on that.
  function Given(object) {
    return object;
  }
  setPrototypeOf(Given, null);

  let mailOf;
  let setMail;
  let isOurs;
  const mailSample = new (class extends Given {
    #mail;

    static {
      mailOf = (promise) => promise.#mail;
      setMail = (promise, mail) => {
        promise.#mail = mail;
      };
      isOurs = (value) => #mail in value;
    }
  })({ __proto__: null });

  let handlerOf;
  let isPresence;
  class Presence extends Given {
    #handler;

    constructor(object, handler) {
      super(object);
      this.#handler = handler;
    }

    static {
      handlerOf = (presence) => presence.#handler;
      isPresence = (value) => #handler in value;
    }
  }

  const isObject = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';
  const isPromise = (value) => promiseState(value) >= PENDING;
  const ours = (value) => isObject(value) && isOurs(value);

  // A list of its own, whatever was made of Array.prototype.
  const push = (list, value) => {
    defineProperty(list, list.length, {
      __proto__: null, value, writable: true, enumerable: true, configurable: true,
    });
  };
  const copy = (arrayLike) => {
    const list = [];
    const { length } = arrayLike;
    for (let at = 0; at < length; at += 1) push(list, arrayLike[at]);
    return list;
  };

  // What settles a promise of ours, with the promise. Its prototype, where it is no plain one.
  const makeKit = (prototype) => {
    const made = settler(prototype);
    return { __proto__: null, promise: made[0], resolve: made[1], reject: made[2] };
  };

  // One send: what is done, and who is told. `kit` is undefined where nobody is.
  const makeItem = (op, key, args, kit) =>
    ({ __proto__: null, op, key, args, kit, gone: undefined, next: undefined });

  // A send is on its way: whoever waits for that (a flow) goes on.
  const leave = (item) => {
    if (item.gone === undefined) return;
    const { gone } = item;
    item.gone = undefined;
    gone();
  };

  const fail = (item, reason) => {
    leave(item);
    if (item.kit === undefined) unhandled(reason);
    else item.kit.reject(reason);
  };

  const mailbox = (promise) => {
    let mail = mailOf(promise);
    if (mail === undefined) {
      mail = {
        __proto__: null,
        handler: undefined,
        forward: undefined,
        first: undefined,
        last: undefined,
        scheduled: false,
        waiting: false,
      };
      setMail(promise, mail);
    }
    return mail;
  };

  // The promise at the end of a chain of forwards; the chain is made short.
  const shorten = (promise) => {
    let end = promise;
    for (;;) {
      const mail = mailOf(end);
      if (mail === undefined || mail.forward === undefined) break;
      end = mail.forward;
    }
    let at = promise;
    while (at !== end) {
      const mail = mailOf(at);
      at = mail.forward;
      mail.forward = end;
    }
    return end;
  };

  const schedule = (promise, mail) => {
    if (mail.scheduled || mail.first === undefined) return;
    mail.scheduled = true;
    later(drain, promise);
  };

  const post = (promise, item) => {
    const mail = mailbox(promise);
    item.next = undefined;
    if (mail.first === undefined) mail.first = item;
    else mail.last.next = item;
    mail.last = item;
    if (!mail.waiting) schedule(promise, mail);
  };

  const take = (mail) => {
    const item = mail.first;
    mail.first = item.next;
    if (mail.first === undefined) mail.last = undefined;
    item.next = undefined;
    return item;
  };

  const drain = (promise) => {
    const mail = mailOf(promise);
    mail.scheduled = false;
    if (mail.first === undefined) return;
    if (mail.forward !== undefined) {
      const end = shorten(promise);
      while (mail.first !== undefined) post(end, take(mail));
      return;
    }
    const state = promiseState(promise);
    if (state === PENDING && mail.handler === undefined) {
      mail.waiting = true;
      const settled = () => {
        mail.waiting = false;
        schedule(promise, mail);
      };
      react(promise, settled, settled);
      return;
    }
    if (state === REJECTED) {
      const reason = promiseResult(promise);
      // The senders are told now, each through a promise of its own.
      react(promise, undefined, () => {});
      while (mail.first !== undefined) fail(take(mail), reason);
      return;
    }
    const item = take(mail);
    schedule(promise, mail);
    if (state === FULFILLED) deliver(promiseResult(promise), item);
    else callHandler(mail.handler, promise, item);
  };

  // To a value that is no promise any more.
  const deliver = (value, item) => {
    if (isObject(value) && isPresence(value)) callHandler(handlerOf(value), value, item);
    else {
      leave(item);
      settle(item, () => perform(item.op, value, item.key, item.args));
    }
  };

  const perform = (op, value, key, args) => {
    if (op === FUNCTION) {
      if (typeof value !== 'function') missing(op, value, key);
      return apply(value, undefined, args);
    }
    if (value === undefined || value === null) missing(op, value, key);
    if (op === GET) return propertyOf(value, key);
    const method = methodOf(value, key);
    if (method === undefined) missing(op, value, key);
    return apply(method, value, args);
  };

  const keyText = (key) => (typeof key === 'symbol' ? 'that symbol' : `\`${key}\``);

  const missing = (op, value, key) => {
    const what = value === null ? 'null' : typeof value;
    if (op === FUNCTION) throw new TypeError(`cannot call the target: it is ${what}, no function`);
    if (value === undefined || value === null) {
      const wish = op === GET ? 'ask for property' : 'call';
      throw new TypeError(`cannot ${wish} ${keyText(key)}: the target is ${what}`);
    }
    const names = isPromise(value) ? '' : methodNames(value);
    const hint = names === '' ? '' : `; it has ${names}`;
    throw new TypeError(`the target has no method ${keyText(key)}${hint}`);
  };

  // Runs the work of a send and tells its sender.
  const settle = (item, work) => {
    let value;
    try {
      value = work();
    } catch (error) {
      fail(item, error);
      return;
    }
    if (item.kit !== undefined) resolveWith(item.kit, value);
  };

  const resolveWith = (kit, value) => {
    try {
      if (isPromise(value)) adopt(kit.promise, value);
    } catch (error) {
      kit.reject(error);
      return;
    }
    kit.resolve(value);
  };

  // `promise` is about to be resolved with `value`, a promise: what waits for the one goes to the
  // other if that is ours too. (Others are waited for: only ours are known to tell the truth about
  // what they were resolved with.)
  const adopt = (promise, value) => {
    if (!isOurs(value) || promiseState(value) !== PENDING) return;
    const end = shorten(value);
    if (end === promise) throw new TypeError('a promise cannot be resolved with itself');
    const mail = mailbox(promise);
    mail.handler = undefined;
    mail.forward = end;
    mail.waiting = false;
    schedule(promise, mail);
  };

  const handles = (handler, name) => typeof handler[name] === 'function';

  // A handler may leave out what follows from the rest: a method call is getting it and calling
  // that; a function call is a method call without a name; a send without an answer is one with.
  const callHandler = (handler, target, item) => {
    const { op, key, args, kit } = item;
    leave(item);
    settle(item, () => {
      const result = kit === undefined ? undefined : kit.promise;
      if (kit === undefined) {
        if (op === GET && handles(handler, 'getSendOnly')) return handler.getSendOnly(target, key);
        if (op === METHOD && handles(handler, 'applyMethodSendOnly')) {
          return handler.applyMethodSendOnly(target, key, args);
        }
        if (op === FUNCTION && handles(handler, 'applyFunctionSendOnly')) {
          return handler.applyFunctionSendOnly(target, args);
        }
      }
      if (op === GET && handles(handler, 'get')) return handler.get(target, key, result);
      if (op === FUNCTION && handles(handler, 'applyFunction')) {
        return handler.applyFunction(target, args, result);
      }
      if (op !== GET && handles(handler, 'applyMethod')) {
        return handler.applyMethod(target, op === METHOD ? key : undefined, args, result);
      }
      if (op === METHOD && handles(handler, 'get')) {
        return send(FUNCTION, handler.get(target, key, undefined), undefined, args, false);
      }
      const wanted = op === GET ? 'get' : op === METHOD ? 'applyMethod' : 'applyFunction';
      throw new TypeError(`the handler has no ${wanted}`);
    });
  };

  const waitFor = (promise, item) => {
    react(promise, (value) => deliver(value, item), (reason) => fail(item, reason));
  };

  // Called by C code for a target that is no plain local object.
  const route = (op, target, key, args, only) => {
    if (isObject(target) && isPresence(target)) {
      const item = makeItem(op, key, args, only ? undefined : makeKit());
      later(() => callHandler(handlerOf(target), target, item), undefined);
      return only ? undefined : item.kit.promise;
    }
    if (!isPromise(target)) return sendLocal(op, target, key, args, only);
    const item = makeItem(op, key, args, only ? undefined : makeKit());
    if (isOurs(target)) post(target, item);
    else waitFor(target, item);
    return only ? undefined : item.kit.promise;
  };

  // Called in the job of a send whose target has a `then`: it is waited for.
  const assimilate = (op, target, key, args, resolve, reject, promise) => {
    const kit = promise === undefined ? undefined : { __proto__: null, promise, resolve, reject };
    const waited = makeKit();
    waited.resolve(target);
    post(waited.promise, makeItem(op, key, args, kit));
  };

  // A send that tells when it has gone to where it is going.
  const dispatch = (target, op, key, args, kit, gone) => {
    const item = makeItem(op, key, args, kit);
    item.gone = gone;
    if (isOurs(target)) post(target, item);
    else waitFor(target, item);
  };

  const presenceSample = new Presence({ __proto__: null }, undefined);
  brand(mailSample, presenceSample, route, adopt, assimilate, missing);

  // The promise for a value. Nothing of the value's runs before the job ends.
  const resolve = (value) => {
    if (!isObject(value)) {
      const kit = makeKit();
      kit.resolve(value);
      return kit.promise;
    }
    if (isOurs(value)) return value;
    const kit = makeKit();
    if (isPromise(value)) {
      const plain = getPrototypeOf(value) === promisePrototype && ownKeys(value).length === 0;
      if (plain) return value;
      react(value, kit.resolve, kit.reject);
    } else if (isPresence(value)) {
      kit.resolve(value);
    } else {
      later(kit.resolve, value);
    }
    return kit.promise;
  };

  // `then` of any real promise, with a promise of ours for the answer, of this prototype.
  const then = (promise, fulfilled, rejected, prototype) => {
    const kit = makeKit(prototype);
    const run = (handler, otherwise) => (settled) => {
      if (typeof handler !== 'function') {
        otherwise(settled);
        return;
      }
      let value;
      try {
        value = handler(settled);
      } catch (error) {
        kit.reject(error);
        return;
      }
      resolveWith(kit, value);
    };
    react(promise, run(fulfilled, kit.resolve), run(rejected, kit.reject));
    return kit.promise;
  };

  const makePresence = (handler, options) => {
    if (!isObject(handler)) {
      throw new TypeError('resolveWithPresence: the handler must be an object');
    }
    const proxy = isObject(options) ? options.proxy : undefined;
    if (proxy === undefined) {
      const presence = new Presence({ __proto__: null }, handler);
      return presence;
    }
    const { handler: traps, target = { __proto__: null }, revokerCallback } = proxy;
    if (typeof revokerCallback === 'function') {
      const made = revocable(target, traps);
      const presence = new Presence(made.proxy, handler);
      revokerCallback(freeze(made.revoke));
      return presence;
    }
    return new Presence(new Proxy(target, traps), handler);
  };
  const { revocable } = Proxy;

  function HandledPromise(executor, handler) {
    if (new.target === undefined) throw new TypeError('HandledPromise must be called with new');
    if (typeof executor !== 'function') {
      throw new TypeError('HandledPromise: the executor must be a function');
    }
    if (handler !== undefined && !isObject(handler)) {
      throw new TypeError('HandledPromise: the handler must be an object');
    }
    const kit = makeKit();
    const { promise } = kit;
    const mail = mailbox(promise);
    mail.handler = handler;
    let done = false;
    const end = () => {
      done = true;
      mail.handler = undefined;
    };
    const fulfill = (value) => {
      if (done) return;
      end();
      resolveWith(kit, value);
      schedule(promise, mail);
    };
    const reject = (reason) => {
      if (done) return;
      end();
      kit.reject(reason);
      schedule(promise, mail);
    };
    const resolveWithPresence = (presenceHandler, options) => {
      if (done) throw new TypeError('resolveWithPresence: the promise is resolved already');
      const presence = makePresence(presenceHandler, options);
      end();
      kit.resolve(presence);
      schedule(promise, mail);
      return presence;
    };
    try {
      executor(freeze(fulfill), freeze(reject), freeze(resolveWithPresence));
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  const statics = {
    __proto__: null,
    resolve,
    get: (target, key) => send(GET, target, key, [], false),
    getSendOnly: (target, key) => send(GET, target, key, [], true),
    applyMethod: (target, key, args) => send(METHOD, target, key, copy(args), false),
    applyMethodSendOnly: (target, key, args) => send(METHOD, target, key, copy(args), true),
    applyFunction: (target, args) => send(FUNCTION, target, undefined, copy(args), false),
    applyFunctionSendOnly: (target, args) => send(FUNCTION, target, undefined, copy(args), true),
  };
  const names = getOwnPropertyNames(statics);
  for (let at = 0; at < names.length; at += 1) {
    const value = statics[names[at]];
    defineProperty(HandledPromise, names[at], { __proto__: null, value, writable: true });
  }
  // As Endo has it: what it makes are promises.
  defineProperty(HandledPromise, 'prototype', {
    __proto__: null, value: promisePrototype, writable: false,
  });

  const E = (target) => sender(0, target);
  const surface = {
    __proto__: null,
    get: (target) => sender(1, target),
    sendOnly: (target) => sender(2, target),
    resolve,
    when: (value, fulfilled, rejected) => then(resolve(value), fulfilled, rejected),
  };
  const parts = getOwnPropertyNames(surface);
  for (let at = 0; at < parts.length; at += 1) {
    const value = surface[parts[at]];
    defineProperty(E, parts[at], { __proto__: null, value, writable: true });
  }

  const makePromiseKit = () => {
    const kit = makeKit();
    const { promise, reject } = kit;
    const resolve = freeze((value) => resolveWith(kit, value));
    return freeze({ promise, resolve, reject: freeze(reject) });
  };

  // For the other files of the library, and for what `!` is rewritten to.
  host.eventual = freeze({
    __proto__: null,
    makeKit, resolveWith, resolve, then, react, isPromise, isObject, ours, copy, push, dispatch,
    promiseState, promiseResult, METHOD, FUNCTION,
    get: statics.get,
    applyMethod: statics.applyMethod,
    applyFunction: statics.applyFunction,
    applyFunctionSendOnly: statics.applyFunctionSendOnly,
    applyMethodSendOnly: statics.applyMethodSendOnly,
    presenceHandler: (value) =>
      (isObject(value) && isPresence(value) ? handlerOf(value) : undefined),
  });

  return {
    E: harden(E),
    HandledPromise: harden(HandledPromise),
    makePromiseKit: harden(makePromiseKit),
  };
}
