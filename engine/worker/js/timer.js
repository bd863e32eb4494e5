// powers.timer: promises for times to come. They are durable: the host keeps when, this heap what.
//
// One number a timer, never used again; the host is told of each that is set or cleared, and sends
// a message when one is due. A timer set in a turn that is undone never was, here and there.
(host) => {
  'use strict';
  const { harden, setTimer, turnTime, timersMax } = host;
  const { makeKit, isObject } = host.eventual;
  const { defineProperty } = Object;
  const { apply } = Reflect;
  const { asyncIterator } = Symbol;
  const { floor } = Math;
  const mapMethods = Map.prototype;
  const { get: mapGet, set: mapSet, delete: mapDelete } = mapMethods;
  const { get: mapSize } = Object.getOwnPropertyDescriptor(mapMethods, 'size');
  const { get: weakGet, set: weakSet } = WeakMap.prototype;

  // A hundred years.
  const MS_MAX = 3155760000000;

  let last = 0;
  const waiting = new Map();
  // The number behind a promise or a clock of ours.
  const numbers = new WeakMap();

  const check = (what, ms, least) => {
    if (!(typeof ms === 'number' && ms >= least && ms <= MS_MAX)) {
      const found = typeof ms === 'number' ? `${ms}` : typeof ms;
      throw new RangeError(`${what}: milliseconds must be ${least} to ${MS_MAX}, not ${found}`);
    }
  };

  // Sets one for then; its kit.
  const set = (due) => {
    if (apply(mapSize, waiting, []) >= timersMax) {
      throw new RangeError(`a vat has at most ${timersMax} timers`);
    }
    last += 1;
    const kit = makeKit();
    apply(mapSet, waiting, [last, kit]);
    setTimer(last, due);
    return { __proto__: null, kit, number: last };
  };

  const clear = (number) => {
    const kit = apply(mapGet, waiting, [number]);
    if (kit === undefined) return false;
    apply(mapDelete, waiting, [number]);
    setTimer(number, undefined);
    kit.reject(new Error('the timer was cancelled'));
    return true;
  };

  host.timerDue = (number) => {
    const kit = apply(mapGet, waiting, [number]);
    // Cancelled while its message was on its way.
    if (kit === undefined) return;
    apply(mapDelete, waiting, [number]);
    kit.resolve(undefined);
  };

  const rejected = (error) => {
    const kit = makeKit();
    kit.reject(error);
    return kit.promise;
  };

  const wake = (ms) => {
    try {
      check('wake', ms, 0);
      const { kit, number } = set(floor(turnTime() + ms));
      apply(weakSet, numbers, [kit.promise, () => clear(number)]);
      return kit.promise;
    } catch (error) {
      return rejected(error);
    }
  };

  // Times ms apart, one at a time: `next` is for the first that is still to come, so that a slow
  // reader misses some and is never behind. What nobody asks for costs nothing.
  const every = (ms) => {
    check('every', ms, 1);
    const start = turnTime();
    let armed;
    let count = 0;
    let ended = false;
    const result = (value, done) => harden({ value, done });
    const next = () => {
      if (ended) {
        const kit = makeKit();
        kit.resolve(result(undefined, true));
        return kit.promise;
      }
      if (armed !== undefined) return armed.answer.promise;
      const passed = floor((turnTime() - start) / ms);
      try {
        const { kit, number } = set(floor(start + (passed + 1) * ms));
        const answer = makeKit();
        armed = { __proto__: null, number, answer };
        host.eventual.react(kit.promise, () => {
          armed = undefined;
          count += 1;
          answer.resolve(result(count, false));
        }, () => {
          armed = undefined;
          answer.resolve(result(undefined, true));
        });
        return answer.promise;
      } catch (error) {
        return rejected(error);
      }
    };
    const end = () => {
      if (ended) return false;
      ended = true;
      if (armed !== undefined) clear(armed.number);
      return true;
    };
    const clock = {
      next,
      return: () => {
        end();
        return next();
      },
    };
    defineProperty(clock, asyncIterator, { __proto__: null, value: () => clock });
    apply(weakSet, numbers, [clock, end]);
    return harden(clock);
  };

  const cancel = (timer) => {
    const end = isObject(timer) ? apply(weakGet, numbers, [timer]) : undefined;
    if (end === undefined) throw new TypeError('cancel: that is neither what wake nor every gave');
    return end();
  };

  host.wake = wake;
  host.cancel = cancel;
  host.timer = host.Far('timer', { wake, every, cancel });
  harden(host.timer);
  return {};
}
