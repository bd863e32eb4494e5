// Q: promises under the names of the Dr. SES slides and of Q 1.5, over eventual-send.js.
//
// A Q promise is a promise of the library's with methods of its own; `await`, E and `!` take it
// like any other. The start compartment's Q has timers; the one other compartments get has none,
// as they have time only from whoever gives it to them.
(host) => {
  'use strict';
  const { harden, later } = host;
  const { makeKit, resolveWith, resolve, then: react, isPromise, isObject, ours } = host.eventual;
  const { get, applyMethod, applyFunction, copy, push } = host.eventual;
  const { promiseState, promiseResult } = host.eventual;
  const { wake, cancel } = host;
  const { create, defineProperty, getOwnPropertyNames, getPrototypeOf, is } = Object;
  const { apply } = Reflect;
  const { isArray } = Array;
  const { get: mapGet, set: mapSet, has: mapHas } = Map.prototype;
  const { get: weakGet, set: weakSet, has: weakHas } = WeakMap.prototype;
  const RealMap = Map;
  const RealWeakMap = WeakMap;
  const promisePrototype = Promise.prototype;
  const nothing = () => {};

  const makeQ = (timed) => {
    const proto = create(promisePrototype);
    const isQ = (value) => ours(value) && getPrototypeOf(value) === proto;

    const Q = (value) => {
      if (isQ(value)) return value;
      const kit = makeKit(proto);
      resolveWith(kit, resolve(value));
      return kit.promise;
    };

    const when = (value, fulfilled, rejected) => react(resolve(value), fulfilled, rejected, proto);
    const quiet = (value) => {
      if (isPromise(value)) host.react(value, nothing, nothing);
    };
    const rejection = (reason) => {
      const kit = makeKit(proto);
      kit.reject(reason);
      return kit.promise;
    };
    // Separate arguments, or one list of them.
    const listOf = (values) => copy(values.length === 1 && isArray(values[0]) ? values[0] : values);
    const each = (list, visit) => {
      for (let at = 0; at < list.length; at += 1) visit(list[at], at);
    };

    const all = (...values) => {
      const list = listOf(values);
      const kit = makeKit(proto);
      const answers = copy(list);
      let left = list.length;
      const one = () => {
        left -= 1;
        if (left === 0) kit.resolve(answers);
      };
      if (left === 0) kit.resolve(answers);
      each(list, (value, at) => {
        host.react(resolve(value), (answer) => {
          answers[at] = answer;
          one();
        }, kit.reject);
      });
      return kit.promise;
    };

    const allSettled = (...values) => {
      const told = [];
      each(listOf(values), (value) => {
        push(told, when(value, (answer) => ({ state: 'fulfilled', value: answer }),
          (reason) => ({ state: 'rejected', reason })));
      });
      return all(told);
    };

    const race = (...values) => {
      const kit = makeKit(proto);
      each(listOf(values), (value) => host.react(resolve(value), kit.resolve, kit.reject));
      return kit.promise;
    };

    const any = (...values) => {
      const list = listOf(values);
      const kit = makeKit(proto);
      let left = list.length;
      const none = (reason) => kit.reject(new Error('no promise of Q.any was fulfilled', {
        cause: reason,
      }));
      if (left === 0) none(undefined);
      each(list, (value) => {
        host.react(resolve(value), kit.resolve, (reason) => {
          left -= 1;
          if (left === 0) none(reason);
        });
      });
      return kit.promise;
    };

    const join = (...values) => when(all(copy(values)), (list) => {
      for (let at = 1; at < list.length; at += 1) {
        if (!is(list[0], list[at])) throw new Error('not the same');
      }
      return list[0];
    });

    const spread = (value, fulfilled, rejected) =>
      when(when(value, (list) => all(copy(list))), (list) => apply(fulfilled, undefined, list),
        rejected);

    const lastly = (value, work) => when(
      value,
      (answer) => when(apply(work, undefined, []), () => answer),
      (reason) => when(apply(work, undefined, []), () => {
        throw reason;
      }),
    );

    // Whatever goes wrong is nobody's: the log shows it.
    const done = (value, fulfilled, rejected) => {
      when(value, fulfilled, rejected);
    };

    const stateOf = (value) => (isPromise(value) ? promiseState(value) : 1);
    const inspect = (value) => {
      const state = stateOf(value);
      if (state === 0) return harden({ state: 'pending' });
      const settled = isPromise(value) ? promiseResult(value) : value;
      return state === 1 ? { state: 'fulfilled', value: settled }
        : { state: 'rejected', reason: settled };
    };

    const defer = () => {
      const kit = makeKit(proto);
      const { promise } = kit;
      return harden({
        promise,
        resolve: (value) => resolveWith(kit, value),
        reject: (reason) => kit.reject(reason),
      });
    };

    const promised = (resolver) => {
      if (typeof resolver !== 'function') throw new TypeError('Q.promise takes a function');
      const { promise, resolve: answer, reject } = defer();
      try {
        apply(resolver, undefined, [answer, reject]);
      } catch (error) {
        reject(error);
      }
      return promise;
    };

    // A generator function whose `yield` waits for promises.
    const async = (makeGenerator) => harden(function running(...args) {
      const kit = makeKit(proto);
      const step = (verb) => (value) => {
        let result;
        try {
          result = generator[verb](value);
        } catch (error) {
          kit.reject(error);
          return;
        }
        const { done: ended, value: given } = result;
        if (ended) resolveWith(kit, resolve(given));
        else host.react(resolve(given), step('next'), step('throw'));
      };
      let generator;
      try {
        generator = apply(makeGenerator, this, args);
        step('next')(undefined);
      } catch (error) {
        kit.reject(error);
      }
      return kit.promise;
    });

    const memoize = (oneArgument, memory) => {
      const values = memory ?? new RealMap();
      const objects = new RealWeakMap();
      return harden((argument) => {
        if (memory !== undefined) {
          if (!memory.has(argument)) {
            memory.set(argument, Q(applyFunction(oneArgument, [argument])));
          }
          return memory.get(argument);
        }
        const [map, has, read, write] = isObject(argument)
          ? [objects, weakHas, weakGet, weakSet] : [values, mapHas, mapGet, mapSet];
        if (!apply(has, map, [argument])) {
          apply(write, map, [argument, Q(applyFunction(oneArgument, [argument]))]);
        }
        return apply(read, map, [argument]);
      });
    };

    const post = (value, name, args) => Q(name === undefined || name === null
      ? applyFunction(value, args ?? []) : applyMethod(value, name, args ?? []));
    const send = (value, name, ...args) => post(value, name, args);

    const statics = {
      __proto__: null,
      when, all, allSettled, race, any, join, spread, defer, inspect, async, memoize, post, send,
      reject: rejection,
      promise: promised,
      isPromise: (value) => isPromise(value),
      isFulfilled: (value) => stateOf(value) === 1,
      isRejected: (value) => stateOf(value) === 2,
      isPending: (value) => stateOf(value) === 0,
      get: (value, key) => Q(get(value, key)),
      invoke: send,
      fcall: (value, ...args) => Q(applyFunction(value, args)),
      nextTick: (work) => {
        if (typeof work !== 'function') throw new TypeError('Q.nextTick takes a function');
        later(() => done(undefined, () => apply(work, undefined, [])), undefined);
      },
      fulfill: (value) => {
        const kit = makeKit(proto);
        kit.resolve(value);
        return kit.promise;
      },
    };

    const methods = {
      __proto__: null,
      then(fulfilled, rejected) {
        // An heir of a promise would be waited for by asking it to be waited for, for ever.
        if (!isPromise(this)) throw new TypeError('then: this is no promise');
        return when(this, fulfilled, rejected);
      },
      when(fulfilled, rejected) {
        return when(this, fulfilled, rejected);
      },
      catch(rejected) {
        return when(this, undefined, rejected);
      },
      finally(work) {
        return lastly(this, work);
      },
      end() {
        done(this);
      },
      done(fulfilled, rejected) {
        done(this, fulfilled, rejected);
      },
      get(key) {
        return statics.get(this, key);
      },
      post(name, args) {
        return post(this, name, args);
      },
      send(name, ...args) {
        return post(this, name, args);
      },
      invoke(name, ...args) {
        return post(this, name, args);
      },
      join(...others) {
        const list = [this];
        each(others, (other) => push(list, other));
        return apply(join, undefined, list);
      },
      all() {
        return when(this, (list) => all(copy(list)));
      },
      spread(fulfilled, rejected) {
        return spread(this, fulfilled, rejected);
      },
    };

    if (timed) {
      const delay = (first, second) => {
        if (typeof first !== 'number') return when(first, (value) => delay(second, value));
        // A rejection that is to be told later is in good hands until then.
        quiet(second);
        return when(wake(first), () => second);
      };
      const timeout = (value, ms, message) => {
        const kit = makeKit(proto);
        const clock = wake(ms);
        const stop = (settle) => (answer) => {
          cancel(clock);
          settle(answer);
        };
        host.react(clock, () => {
          const text = message ?? `Timed out after ${ms} ms`;
          kit.reject(isObject(text) ? text : new Error(text));
        }, nothing);
        host.react(resolve(value), stop(kit.resolve), stop(kit.reject));
        return kit.promise;
      };
      statics.delay = delay;
      statics.timeout = timeout;
      methods.delay = function later(ms) {
        return delay(this, ms);
      };
      methods.timeout = function inTime(ms, message) {
        return timeout(this, ms, message);
      };
    }

    const put = (object, table) => {
      each(getOwnPropertyNames(table), (name) => {
        defineProperty(object, name, { __proto__: null, value: table[name], writable: true });
      });
    };
    put(Q, statics);
    put(proto, methods);
    harden(proto);
    return harden(Q);
  };

  host.start.Q = makeQ(true);
  return { Q: makeQ(false) };
}
