// Flow and Vow: promises whose messages keep one order for a whole flow.
//
// A flow sends one message at a time: the next leaves when the one before has gone to its object,
// or to the handler that knows its vat. So a message through a vow that nothing is known of yet
// holds up those after it, which may be for the same object; nothing else waits.
(host) => {
  'use strict';
  const { harden } = host;
  const { makeKit, resolveWith, resolve, then: react, dispatch, copy, push } = host.eventual;
  const { METHOD, FUNCTION } = host.eventual;
  const { getOwnPropertyNames, preventExtensions, setPrototypeOf } = Object;
  const { apply, deleteProperty } = Reflect;
  const { isArray } = Array;

  // The messages of a flow that have not gone yet: a list by links.
  const makeQueue = () => ({ __proto__: null, first: undefined, last: undefined, busy: false });

  const goOn = (queue) => {
    const entry = queue.first;
    if (queue.busy || entry === undefined) return;
    queue.first = entry.next;
    if (queue.first === undefined) queue.last = undefined;
    queue.busy = true;
    dispatch(entry.target, entry.op, entry.key, entry.args, entry.kit, () => {
      queue.busy = false;
      goOn(queue);
    });
  };

  const send = (queue, target, op, key, args) => {
    const kit = makeKit();
    const entry = { __proto__: null, target, op, key, args, kit, next: undefined };
    if (queue.first === undefined) queue.first = entry;
    else queue.last.next = entry;
    queue.last = entry;
    goOn(queue);
    return new Vow(KEY, queue, kit.promise);
  };

  // What only this file can make vows with.
  const KEY = { __proto__: null };

  class Vow {
    #queue;
    #promise;
    #sender;

    constructor(key, queue, promise) {
      if (key !== KEY) throw new TypeError('Vow: use Vow.resolve, or makeVow of a Flow');
      this.#queue = queue;
      this.#promise = promise;
      harden(this);
    }

    // Its properties are sends.
    get e() {
      if (this.#sender === undefined) {
        const queue = this.#queue;
        const promise = this.#promise;
        const target = () => {};
        const names = getOwnPropertyNames(target);
        for (let at = 0; at < names.length; at += 1) deleteProperty(target, names[at]);
        setPrototypeOf(target, null);
        preventExtensions(target);
        this.#sender = new Proxy(target, harden({
          __proto__: null,
          get: (_, key) => (key === 'then' ? undefined
            : harden((...args) => send(queue, promise, METHOD, key, args))),
          apply: (_, self, args) => send(queue, promise, FUNCTION, undefined, copy(args)),
        }));
      }
      return this.#sender;
    }

    then(fulfilled, rejected) {
      return new Vow(KEY, this.#queue, react(this.#promise, fulfilled, rejected));
    }

    catch(rejected) {
      return this.then(undefined, rejected);
    }

    static promiseOf(value) {
      return typeof value === 'object' && value !== null && #promise in value
        ? value.#promise : resolve(value);
    }

    static resolve(value) {
      if (typeof value === 'object' && value !== null && #promise in value) return value;
      return new Vow(KEY, makeQueue(), resolve(value));
    }

    static all(...values) {
      return new Vow(KEY, makeQueue(), host.Q.all(promises(values)));
    }

    static race(...values) {
      return new Vow(KEY, makeQueue(), host.Q.race(promises(values)));
    }

    static join(...values) {
      return new Vow(KEY, makeQueue(), apply(host.Q.join, undefined, promises([values])));
    }

    static fromFn(work) {
      return new Vow(KEY, makeQueue(), react(resolve(undefined), () => apply(work, undefined, [])));
    }
  }
  const { promiseOf } = Vow;
  delete Vow.promiseOf;

  const promises = (values) => {
    const list = values.length === 1 && isArray(values[0]) ? values[0] : values;
    const out = [];
    for (let at = 0; at < list.length; at += 1) push(out, promiseOf(list[at]));
    return out;
  };

  class Flow {
    #queue = makeQueue();

    constructor() {
      harden(this);
    }

    makeVow(executor) {
      const kit = makeKit();
      try {
        executor(harden((value) => resolveWith(kit, promiseOf(value))),
          harden((reason) => kit.reject(reason)));
      } catch (error) {
        kit.reject(error);
      }
      return new Vow(KEY, this.#queue, kit.promise);
    }
  }

  return { Flow: harden(Flow), Vow: harden(Vow) };
}
