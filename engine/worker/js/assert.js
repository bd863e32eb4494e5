// assert, as programs written for SES use it: conditions, details with quoted parts, errors.
//
// What is shown of a value never has the text of a stack: callers read messages, and stacks are
// for the log.
(host) => {
  'use strict';
  const { format, harden, wanted } = host;
  const { defineProperty, freeze, getOwnPropertyDescriptor, is } = Object;
  const { ownKeys } = Reflect;
  const { stringify } = JSON;
  const { isError } = Error;
  const test = (pattern, text) => Reflect.apply(RegExp.prototype.test, pattern, [text]);
  const shown = (value) => format(value, false);

  // What a details template makes: a text in which unquoted parts are not shown to callers.
  class Details {
    #text;
    constructor(text) {
      this.#text = text;
    }
    static is(value) {
      return typeof value === 'object' && value !== null && #text in value;
    }
    toString() {
      return this.#text;
    }
  }
  class Quoted {
    #value;
    constructor(value) {
      this.#value = value;
    }
    static is(value) {
      return typeof value === 'object' && value !== null && #value in value;
    }
    toString() {
      return quoted(this.#value);
    }
  }
  class Bare {
    #text;
    constructor(text) {
      this.#text = text;
    }
    static is(value) {
      return typeof value === 'object' && value !== null && #text in value;
    }
    toString() {
      return this.#text;
    }
  }
  // Every compartment reaches these by what it is given, and no global leads to them.
  if (wanted('freeze')) harden([Details, Quoted, Bare]);

  const quoted = (value) => (typeof value === 'string' ? stringify(value) : shown(value));
  const kind = (value) => {
    if (value === null) return 'null';
    if (isError(value)) return 'an error';
    const type = typeof value;
    return type === 'object' ? 'an object' : type === 'undefined' ? 'undefined' : `a ${type}`;
  };
  const isShown = (value) => Quoted.is(value) || Bare.is(value);
  const detailsBy = (hide) => (template, ...parts) => {
    let text = `${template[0]}`;
    for (let at = 0; at < parts.length; at += 1) {
      const part = parts[at];
      text += `${isShown(part) ? part : hide(part)}${template[at + 1]}`;
    }
    return freeze(new Details(text));
  };
  const redacted = detailsBy((part) => `(${kind(part)})`);
  const unredacted = detailsBy(quoted);

  const quote = (value) => freeze(new Quoted(value));
  // Words that need no quotes stand without.
  const PLAIN = /^[\w:-]( ?[\w:-])*$/;
  const bare = (text) =>
    (typeof text === 'string' && test(PLAIN, text) ? freeze(new Bare(text)) : quote(text));

  const textOf = (given, otherwise) => {
    if (given === undefined) return otherwise;
    return typeof given === 'string' || Details.is(given) ? `${given}` : otherwise;
  };
  const hide = (object, key, value) => {
    defineProperty(object, key, {
      __proto__: null, value, writable: true, enumerable: false, configurable: true,
    });
  };

  // `errorName` is what the log calls the error; its `name` stays its constructor's.
  const errorNames = new WeakMap();
  host.errorName = (error) => errorNames.get(error);

  const makeError = (given, make = undefined, options = undefined) => {
    const text = textOf(given, 'Assert failed');
    const { errorName, cause, errors, properties, code, sanitize = true } = options ?? {};
    const Make = make ?? Error;
    const more = cause === undefined ? undefined : { __proto__: null, cause };
    const error = Make === AggregateError ? new AggregateError(errors ?? [], text, more)
      : new Make(text, more);
    if (errors !== undefined && Make !== AggregateError) hide(error, 'errors', errors);
    if (code !== undefined) hide(error, 'code', code);
    if (properties !== undefined) {
      const keys = ownKeys(properties);
      for (let at = 0; at < keys.length; at += 1) {
        const found = getOwnPropertyDescriptor(properties, keys[at]);
        if (found.get !== undefined || found.set !== undefined) {
          throw new TypeError(`assert: property ${String(keys[at])} of an error is an accessor`);
        }
        hide(error, keys[at], found.value);
      }
    }
    if (errorName !== undefined) errorNames.set(error, `${errorName}`);
    return sanitize ? freeze(error) : error;
  };

  const typeNames = { __proto__: null };
  for (const name of ['undefined', 'object', 'boolean', 'number', 'bigint', 'string', 'symbol',
    'function']) {
    typeNames[name] = true;
  }

  // `raise` is told of each error before it is thrown; `open` shows unquoted parts too.
  const makeAssert = (raise = undefined, open = false) => {
    const details = open ? unredacted : redacted;
    const fail = (given, make = undefined, options = undefined) => {
      const error = makeError(given ?? 'Check failed', make, options);
      if (raise !== undefined) raise(error);
      throw error;
    };
    const assert = (condition, given = undefined, make = undefined, options = undefined) => {
      if (!condition) fail(given, make, options);
    };
    const methods = {
      __proto__: null,
      fail,
      details,
      quote,
      bare,
      error: makeError,
      makeError,
      note: (error, given) => {},
      equal: (actual, expected, given = undefined, make = RangeError, options = undefined) => {
        if (is(actual, expected)) return;
        const text = given ?? `Expected ${shown(actual)} is same as ${shown(expected)}`;
        fail(text, make, options);
      },
      typeof: (value, type, given = undefined) => {
        if (typeof type !== 'string' || typeNames[type] !== true) {
          fail(`${shown(type)} is not a type name`, TypeError);
        }
        if (typeof value === type) return;
        fail(given ?? `${shown(value)} must be a ${type}`, TypeError);
      },
      string: (value, given = undefined) => methods.typeof(value, 'string', given),
      Fail: (template, ...parts) => fail(details(template, ...parts)),
      makeAssert,
    };
    for (const name of ownKeys(methods)) {
      defineProperty(assert, name, {
        __proto__: null, value: methods[name], writable: true, enumerable: true, configurable: true,
      });
    }
    return harden(assert);
  };
  return { assert: makeAssert() };
}
