// Compartments: globals of their own, the frozen primordials shared.
//
// A compartment's code finds names on its own globalThis and nowhere else. Its `eval`, `Function`
// and `Compartment` are its own and evaluate in it. What its maker does not pass, it has not.
(host) => {
  'use strict';
  const { evaluate, functionText, makeScope, universal } = host;
  const { importer, importInto, understoodModules } = host;
  const { assign, create, defineProperties, defineProperty, freeze, hasOwn } = Object;
  const { setPrototypeOf } = Object;
  const { construct } = Reflect;
  const objectPrototype = Object.prototype;
  const functionPrototype = Function.prototype;

  const isObject = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';

  const hidden = (value) => ({
    __proto__: null, value, writable: true, enumerable: false, configurable: true,
  });

  const run = ({ scope, globals, importer }, text) => evaluate(scope, globals, importer, text);

  // The text of an expression that makes the function; throws a SyntaxError where parameters or
  // body are not what they claim to be.
  const textOfFunction = (parameters) => {
    const texts = parameters.map((parameter) => `${parameter}`);
    const body = texts.pop() ?? '';
    return functionText(texts.join(','), body);
  };

  // The functions every compartment has its own of.
  const own = (compartment) => {
    const evaluator = {
      eval(text) {
        if (typeof text !== 'string') return text;
        return run(compartment, text);
      },
    };
    const Function = function (...parameters) {
      const text = textOfFunction(parameters);
      const made = run(compartment, text);
      if (new.target !== undefined && new.target !== Function) {
        setPrototypeOf(made, new.target.prototype);
      }
      return made;
    };
    const Compartment = function (...given) {
      if (new.target === undefined) {
        throw new TypeError("Compartment: write 'new Compartment(...)'");
      }
      const target = new.target === Compartment ? Instance : new.target;
      return construct(Instance, given, target);
    };
    defineProperty(Function, 'prototype', { value: functionPrototype, writable: false });
    defineProperty(Function, 'length', { value: 1 });
    defineProperty(Compartment, 'prototype', { value: Instance.prototype, writable: false });
    defineProperty(Compartment, 'length', { value: 0 });
    return { eval: evaluator.eval, Function, Compartment };
  };

  // A fresh global object and what belongs to it.
  const make = (name) => {
    const globals = create(objectPrototype);
    const compartment = {
      __proto__: null, name, globals, scope: makeScope(globals), importer: undefined,
      given: undefined, files: false, loaded: undefined,
    };
    compartment.importer = importer(compartment, '');
    const mine = own(compartment);
    defineProperties(globals, universal.descriptors);
    defineProperties(globals, {
      __proto__: null,
      globalThis: hidden(globals),
      eval: hidden(mine.eval),
      Function: hidden(mine.Function),
      Compartment: hidden(mine.Compartment),
    });
    return compartment;
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
      return first;
    }
    const { name, __noNamespaceBox__ } = options ?? {};
    return { globals: first, modules, name, __noNamespaceBox__ };
  };

  class Instance {
    #compartment;
    #boxed;

    constructor(...given) {
      const { globals, modules, name, __noNamespaceBox__ } = understood(given);
      const compartment = make(name === undefined ? '' : `${name}`);
      if (globals !== undefined) {
        if (!isObject(globals)) throw new TypeError('Compartment: globals must be an object');
        assign(compartment.globals, globals);
      }
      if (modules !== undefined && modules !== null) {
        if (!isObject(modules)) throw new TypeError('Compartment: modules must be an object');
        compartment.given = understoodModules(modules);
      }
      this.#compartment = compartment;
      this.#boxed = __noNamespaceBox__ !== true;
    }

    get globalThis() {
      return this.#compartment.globals;
    }

    get name() {
      return this.#compartment.name;
    }

    evaluate(text) {
      const compartment = this.#compartment;
      if (typeof text !== 'string') {
        throw new TypeError(`Compartment: evaluate takes a string, not ${typeof text}`);
      }
      return run(compartment, text);
    }

    async import(specifier) {
      const namespace = await importInto(this.#compartment, '', `${specifier}`);
      return this.#boxed ? freeze({ namespace }) : namespace;
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
