// The realm's dangers, taken out one by one. What is left is frozen by freeze.js.
//
// Each step has a name, by which the hostile suite can leave it out; see repairs.rs. Steps that
// replace a constructor keep its prototype, so `instanceof` and literals go on as they were.
(host) => {
  'use strict';
  const { wanted, tamedDate, tamedMap, tamedWeakMap } = host;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { ownKeys } = Reflect;
  const global = globalThis;

  const remove = (repair, object, ...keys) => {
    if (!wanted(repair)) return;
    for (const key of keys) {
      if (!delete object[key]) throw new TypeError(`cannot take out ${String(key)}`);
    }
  };

  const hide = (object, key, value) => {
    defineProperty(object, key, { value, writable: true, enumerable: false, configurable: true });
  };

  // A function that always throws, named as what it stands for.
  const refusal = (name, message) => {
    const { refuse } = {
      refuse() {
        throw new TypeError(message);
      },
    };
    defineProperty(refuse, 'name', { value: name });
    return refuse;
  };

  // What tells about the callers of a function, or keeps what it is given.
  remove('capture-stack-trace', Error, 'captureStackTrace');
  remove('prepare-stack-trace', Error, 'prepareStackTrace');
  remove('stack-trace-limit', Error, 'stackTraceLimit');
  remove('function-callers', Function.prototype, 'caller', 'arguments');
  // A function's text is restored by the names that were chosen for its file.
  host.fileOf = getOwnPropertyDescriptor(Function.prototype, 'fileName').get;
  remove('function-origin', Function.prototype, 'fileName', 'lineNumber', 'columnNumber');

  // The worker reads stacks for the log by this getter; for programs they are empty.
  host.errorStack = getOwnPropertyDescriptor(Error.prototype, 'stack').get;
  if (wanted('error-stack')) hide(Error.prototype, 'stack', '');

  // Would give a frozen expression, shared by two compartments, another pattern.
  remove('regexp-compile', RegExp.prototype, 'compile');

  // Memory that two could share, and clocks made of it.
  remove('shared-memory', global, 'SharedArrayBuffer', 'Atomics');

  const replace = (name, tamed) => {
    const real = global[name];
    for (const key of ownKeys(real)) {
      if (key === 'length' || key === 'name') continue;
      defineProperty(tamed, key, getOwnPropertyDescriptor(real, key));
    }
    hide(real.prototype, 'constructor', tamed);
    hide(global, name, tamed);
  };
  if (wanted('date-construct')) replace('Date', tamedDate);
  if (wanted('date-now')) {
    const advice = 'Date.now: a vat has no clock of its own; use powers.clock';
    hide(Date, 'now', refusal('now', advice));
  }
  if (wanted('math-random')) {
    const advice = 'Math.random: a vat has no chance of its own; use powers.random';
    hide(Math, 'random', refusal('random', advice));
  }
  // Not a danger: programs of the time before `class` write `WeakMap()`.
  replace('Map', tamedMap);
  replace('WeakMap', tamedWeakMap);

  // The four function constructors evaluate text in the real global.
  const bare = {
    Function: () => {},
    GeneratorFunction: function* () {},
    AsyncFunction: async () => {},
    AsyncGeneratorFunction: async function* () {},
  };
  for (const name of ownKeys(bare)) {
    const prototype = getPrototypeOf(bare[name]);
    const advice = `${name} of the shared prototype evaluates nothing; use this compartment's own`;
    const tamed = function (...ignored) {
      throw new TypeError(advice);
    };
    defineProperty(tamed, 'name', { value: name });
    defineProperty(tamed, 'prototype', { value: prototype, writable: false });
    if (wanted(`${name}-constructor`)) {
      defineProperty(prototype, 'constructor', { value: tamed });
    }
  }
  return {};
}
