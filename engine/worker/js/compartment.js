// Compartments: globals of their own, the frozen primordials shared.
//
// A compartment's code finds names on its own globalThis and nowhere else. Its `eval`, `Function`
// and `Compartment` are its own and evaluate in it. What its maker does not pass, it has not.
(host) => {
  'use strict';
  const { evaluate, functionText, makeOwn, makeScope, setOwn, universal } = host;
  const { hidden: sends, importInto, importIn, exportsIn, insertedOf } = host;
  const { transformed, understoodModules, unboxed } = host;
  const { create, defineProperties, defineProperty, freeze, getOwnPropertyDescriptor } = Object;
  const { hasOwn, setPrototypeOf } = Object;
  const { construct, ownKeys } = Reflect;
  const { isArray } = Array;
  const objectPrototype = Object.prototype;
  const functionPrototype = Function.prototype;

  const isObject = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';

  const hidden = (value) => ({
    __proto__: null, value, writable: true, enumerable: false, configurable: true,
  });

  // A text goes through its compartment's transforms before anything reads it.
  const run = (compartment, text) =>
    evaluate(compartment.scope, compartment.globals, insertedOf(compartment),
      transformed(compartment.transforms, text));

  // The text of an expression that makes the function; throws a SyntaxError where parameters or
  // body are not what they claim to be.
  const textOfFunction = (parameters) => {
    const texts = parameters.map((parameter) => `${parameter}`);
    const body = texts.pop() ?? '';
    return functionText(texts.join(','), body);
  };

  // What the functions do that every compartment or module has its own of, by the numbers of
  // own.rs. The first five are told what they are of, and what `new` is to make.
  const evalIn = (compartment, _, text) =>
    (typeof text === 'string' ? run(compartment, text) : text);
  const functionIn = (compartment, target, ...parameters) => {
    const made = run(compartment, textOfFunction(parameters));
    if (target !== undefined && target.prototype !== functionPrototype) {
      setPrototypeOf(made, target.prototype);
    }
    return made;
  };
  const compartmentIn = (_, target, ...given) => {
    if (target === undefined) throw new TypeError("Compartment: write 'new Compartment(...)'");
    return construct(Instance, given, target);
  };
  const [EVAL, FUNCTION, COMPARTMENT] = [0, 1, 2];
  setOwn([evalIn, functionIn, compartmentIn, importIn, exportsIn, ...sends]);

  // A fresh global object and what belongs to it.
  const make = (name) => {
    const globals = create(objectPrototype);
    const compartment = {
      __proto__: null, name, globals, scope: makeScope(globals), inserted: undefined,
      given: undefined, files: false, loaded: undefined, transforms: undefined,
    };
    const ofInstances = Instance.prototype;
    defineProperties(globals, universal.descriptors);
    defineProperties(globals, {
      __proto__: null,
      globalThis: hidden(globals),
      eval: hidden(makeOwn(EVAL, compartment)),
      Function: hidden(makeOwn(FUNCTION, compartment, functionPrototype)),
      Compartment: hidden(makeOwn(COMPARTMENT, compartment, ofInstances)),
    });
    return compartment;
  };

  // What may stand among the options, and what SES 2 has that is not there yet. Nothing is dropped
  // without a word: a filter that is never called is a hole.
  const KNOWN = {
    __proto__: null, __options__: 1, __noNamespaceBox__: 1, globals: 1, modules: 1, name: 1,
    transforms: 1,
  };
  const LATER = {
    __proto__: null, importHook: 1, importMetaHook: 1, importNowHook: 1, moduleMapHook: 1,
    noAggregateLoadErrors: 1, resolveHook: 1, __native__: 1, __shimTransforms__: 1,
  };
  const checkOptions = (options, positional) => {
    if (options === undefined) return {};
    if (!isObject(options)) {
      throw new TypeError(`Compartment: the options must be an object, not ${typeof options}`);
    }
    for (const key of ownKeys(options)) {
      const known = typeof key === 'string' && KNOWN[key] === 1 &&
        !(positional && (key === 'globals' || key === 'modules'));
      if (known) continue;
      const later = typeof key === 'string' && LATER[key] === 1;
      throw new TypeError(`Compartment: the option ${String(key)} ` +
        (later ? 'is not supported yet' : 'is not known'));
    }
    return options;
  };

  // What a constructor call means: positions, or one object of options.
  const understood = (given) => {
    const [first, modules, options] = given;
    if (first !== undefined && !isObject(first)) {
      throw new TypeError(`Compartment: the globals must be an object, not ${typeof first}`);
    }
    const marked = isObject(first) && hasOwn(first, '__options__');
    if (marked && first.__options__ !== true) {
      throw new TypeError('Compartment: __options__ must be true where it is given');
    }
    const named = given.length === 1 && isObject(first) && hasOwn(first, 'globals') &&
      isObject(first.globals);
    if (marked || named) {
      if (given.length > 1) {
        throw new TypeError('Compartment: after one object of options nothing more is taken');
      }
      return checkOptions(first, false);
    }
    if (given.length > 3) {
      throw new TypeError('Compartment: globals, modules and options are taken, and nothing more');
    }
    const { name, transforms, __noNamespaceBox__ } = checkOptions(options, true);
    return { globals: first, modules, name, transforms, __noNamespaceBox__ };
  };

  // The functions that a text goes through, in their order.
  const understoodTransforms = (transforms) => {
    if (transforms === undefined) return undefined;
    if (!isArray(transforms)) throw new TypeError('Compartment: transforms must be an array');
    const list = [];
    for (let at = 0; at < transforms.length; at += 1) {
      const transform = transforms[at];
      if (typeof transform !== 'function') {
        throw new TypeError(`Compartment: transforms[${at}] must be a function`);
      }
      defineProperty(list, at, { value: transform, enumerable: true });
    }
    return list.length === 0 ? undefined : list;
  };

  // Own properties alone, `__proto__` among them, are a compartment's globals.
  const giveGlobals = (target, given) => {
    for (const key of ownKeys(given)) {
      if (!getOwnPropertyDescriptor(given, key)?.enumerable) continue;
      const value = given[key];
      if (hasOwn(target, key)) target[key] = value;
      else {
        defineProperty(target, key, {
          __proto__: null, value, writable: true, enumerable: true, configurable: true,
        });
      }
    }
  };

  class Instance {
    #compartment;
    #boxed;

    constructor(...given) {
      const { globals, modules, name, transforms, __noNamespaceBox__ } = understood(given);
      const compartment = make(name === undefined ? '' : `${name}`);
      compartment.transforms = understoodTransforms(transforms);
      if (globals !== undefined) {
        if (!isObject(globals)) throw new TypeError('Compartment: globals must be an object');
        giveGlobals(compartment.globals, globals);
      }
      if (modules !== undefined && modules !== null) {
        if (!isObject(modules)) throw new TypeError('Compartment: modules must be an object');
        compartment.given = understoodModules(modules);
      }
      this.#compartment = compartment;
      this.#boxed = __noNamespaceBox__ !== true;
    }

    // For the test that finds what no text can name (freeze.js).
    static {
      host.lendInserted = (instance) => insertedOf(instance.#compartment);
    }

    get globalThis() {
      return this.#compartment.globals;
    }

    get name() {
      return this.#compartment.name;
    }

    evaluate(text, options = undefined) {
      const compartment = this.#compartment;
      if (typeof text !== 'string') {
        throw new TypeError(`Compartment: evaluate takes a string, not ${typeof text}`);
      }
      if (options === undefined) return run(compartment, text);
      for (const key of ownKeys(options)) {
        if (key !== 'transforms') {
          throw new TypeError(`Compartment: evaluate does not know the option ${String(key)}`);
        }
      }
      return run(compartment, transformed(understoodTransforms(options.transforms), text));
    }

    async import(specifier) {
      const name = `${specifier}`;
      const box = await importInto(this.#compartment, '', name);
      return this.#boxed ? box : unboxed(box, name);
    }

    toString() {
      return '[object Compartment]';
    }
  }

  const tag = { value: 'Compartment', writable: false, enumerable: false, configurable: true };
  defineProperty(Instance.prototype, Symbol.toStringTag, tag);
  const inert = function Compartment() {
    throw new TypeError("Compartment of the shared prototype makes none; use this compartment's");
  };
  defineProperty(inert, 'prototype', { value: Instance.prototype, writable: false });
  defineProperty(Instance.prototype, 'constructor', hidden(inert));

  const confine = (text, endowments = {}) =>
    new Instance(endowments === undefined ? {} : { __options__: true, globals: endowments })
      .evaluate(`${text}`);
  const confineExpr = (text, endowments) => confine(`(${text}\n)`, endowments);

  host.makeCompartment = make;
  host.compartmentRoots = [Instance, Instance.prototype];
  return {
    SES: { confine, confineExpr },
    cajaVM: { confine: confineExpr, def: host.harden, Nat: host.Nat },
    lockdown: function lockdown(options) {},
  };
}
