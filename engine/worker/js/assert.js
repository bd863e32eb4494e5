// assert, as programs written for SES use it: conditions, details with quoted parts, errors.
(host) => {
  'use strict';
  const { format, harden, wanted } = host;
  const { defineProperty, freeze, is } = Object;
  const toError = (text, make, options) => {
    const error = new make(text);
    const { name } = options ?? {};
    if (name !== undefined) {
      defineProperty(error, 'name', { value: `${name}`, writable: true, configurable: true });
    }
    return error;
  };

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
      const value = this.#value;
      return typeof value === 'string' ? stringify(value) : format(value);
    }
  }
  const { stringify } = JSON;

  const details = (template, ...parts) => {
    let text = `${template[0]}`;
    for (let at = 0; at < parts.length; at += 1) {
      const part = parts[at];
      const shown = Quoted.is(part) ? `${part}` : `(${part === null ? 'null' : kind(part)})`;
      text += `${shown}${template[at + 1]}`;
    }
    return freeze(new Details(text));
  };
  const kind = (value) => {
    const type = typeof value;
    return type === 'object' ? 'an object' : type === 'undefined' ? 'undefined' : `a ${type}`;
  };
  // Every compartment reaches these by what it is given, and no global leads to them.
  if (wanted('freeze')) harden([Details, Quoted]);
  const quote = (value) => freeze(new Quoted(value));
  const textOf = (given, otherwise) => {
    if (given === undefined) return otherwise;
    return typeof given === 'string' || Details.is(given) ? `${given}` : otherwise;
  };

  const fail = (given, make = Error, options = undefined) => {
    throw toError(textOf(given, 'Check failed'), make, options);
  };
  const assert = (condition, given, make, options) => {
    if (!condition) fail(given, make, options);
  };
  const typeNames = ['undefined', 'object', 'boolean', 'number', 'bigint', 'string', 'symbol',
    'function'];
  const methods = {
    fail,
    details,
    quote,
    bare: (text) => quote(text),
    error: (given, make = Error, options = undefined) =>
      toError(textOf(given, 'Assert failed'), make, options),
    note: (error, given) => {},
    makeError: (given, make = Error, options = undefined) =>
      toError(textOf(given, 'Assert failed'), make, options),
    equal: (actual, expected, given, make = RangeError) => {
      if (is(actual, expected)) return;
      fail(given ?? `Expected ${format(actual)} is same as ${format(expected)}`, make);
    },
    typeof: (value, type, given) => {
      if (!typeNames.includes(type)) fail(`${format(type)} is not a type name`, TypeError);
      if (typeof value === type) return;
      fail(given ?? `${format(value)} must be a ${type}`, TypeError);
    },
    string: (value, given) => methods.typeof(value, 'string', given),
    Fail: (template, ...parts) => fail(details(template, ...parts)),
  };
  for (const name of Object.keys(methods)) {
    defineProperty(assert, name, { value: methods[name], writable: true, configurable: true });
  }
  return { assert };
}
