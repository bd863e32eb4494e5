// Modules of a compartment: loading, linking, evaluation, namespaces.
//
// The worker takes a module's text apart (`readModule`); its body is a function that makes its
// variables, says how to read what it exports, and waits. So cycles work, and bindings are live:
// what is imported is a getter of a frozen object that the module's scope looks its names up in.
// A module's variables are reached through those getters alone.
//
// A compartment has the modules it was given; the start compartment has the program's files, while
// the program is deployed. `import()` finds those and what is loaded already, and nothing else.
(host) => {
  'use strict';
  const { readModule, evaluateModule, makeModuleScope } = host;
  const { resolveFile, placeOfImport, fileText, wanted } = host;
  const { create, defineProperty, freeze, getOwnPropertyDescriptor, hasOwn } = Object;
  const { ownKeys } = Reflect;
  // `import.meta` is a property of what the word `import` becomes there.
  const meta = freeze({ __proto__: null, meta: freeze({ __proto__: null }) });

  const isObject = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';

  const show = (from) => (from === '' ? '' : ` (imported by ${from})`);

  // What a compartment was given: source text, a record with it, or a namespace.
  const understoodModules = (modules) => {
    const given = new Map();
    for (const name of ownKeys(modules)) {
      if (typeof name !== 'string') continue;
      const value = modules[name];
      if (typeof value === 'string') {
        given.set(name, { source: value });
      } else if (!isObject(value)) {
        throw new TypeError(`Compartment: module '${name}' must be source text, a record with ` +
          `source, or a namespace, not ${typeof value}`);
      } else if (hasOwn(value, 'source') && typeof value.source === 'string') {
        given.set(name, { source: value.source });
      } else {
        const namespace = hasOwn(value, 'namespace') ? value.namespace : value;
        if (!isObject(namespace)) {
          throw new TypeError(`Compartment: the namespace of module '${name}' must be an object`);
        }
        given.set(name, { namespace });
      }
    }
    return given;
  };

  // `name` relative to what `base` is in.
  const joined = (base, name) => {
    const parts = base.split('/');
    parts.pop();
    for (const part of name.split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '.' && part !== '') parts.push(part);
    }
    return parts.join('/');
  };

  // The key under which a compartment knows what `name` means in `base`.
  const resolve = (compartment, base, name) => {
    const { given, files } = compartment;
    if (files) return resolveFile(base, name);
    if (given !== undefined && given.has(name)) return name;
    const relative = name.startsWith('./') || name.startsWith('../');
    if (given !== undefined && relative) {
      for (const key of [joined(base, name), `./${joined(base, name)}`]) {
        if (given.has(key)) return key;
      }
    }
    throw new TypeError(`cannot import '${name}'${show(base)}: this compartment was not given it`);
  };

  const sourceOf = (compartment, key) => {
    if (compartment.files) return { source: fileText(key) };
    return compartment.given.get(key);
  };

  const getterOf = (object, key) => () => object[key];

  // A module that is its namespace already.
  const finished = (key, namespace) => {
    const getters = create(null);
    for (const name of ownKeys(namespace)) {
      if (typeof name === 'string') getters[name] = getterOf(namespace, name);
    }
    return {
      __proto__: null, key, getters, namespace, dependencies: new Map(), exports: [], stars: [],
      linked: true, open: undefined, done: Promise.resolve(), failed: false,
    };
  };

  // A module that is there, or is read now. `fresh` collects what was not there before.
  const provide = (compartment, key, fresh) => {
    compartment.loaded ??= new Map();
    const { loaded } = compartment;
    if (loaded.has(key)) return loaded.get(key);
    const { source, namespace } = sourceOf(compartment, key);
    if (namespace !== undefined) {
      const entry = finished(key, namespace);
      loaded.set(key, entry);
      fresh.push(entry);
      return entry;
    }
    const record = readModule(source, key, compartment.files);
    const entry = {
      __proto__: null, key, record, getters: undefined, namespace: undefined,
      dependencies: new Map(), exports: record.exports, stars: record.stars, unnamed: record.unnamed, linked: false,
      bindings: create(null), open: undefined, done: undefined, failed: false,
    };
    loaded.set(key, entry);
    fresh.push(entry);
    return entry;
  };

  // Reads a module with all it asks for, in the order they are asked for.
  const load = (compartment, key, fresh) => {
    const asked = (entry) => ({ entry, requests: entry.record?.requests ?? [], at: 0 });
    const first = provide(compartment, key, fresh);
    // A list of our own: chains of imports may be longer than calls can nest.
    const under = fresh.length === 0 ? [] : [asked(first)];
    while (under.length > 0) {
      const top = under[under.length - 1];
      if (top.at === top.requests.length) {
        under.pop();
        continue;
      }
      const name = top.requests[top.at];
      top.at += 1;
      const known = fresh.length;
      const wanted = provide(compartment, resolve(compartment, top.entry.key, name), fresh);
      top.entry.dependencies.set(name, wanted);
      if (fresh.length > known) under.push(asked(wanted));
    }
    return first;
  };

  // How to read an exported name: a getter, or undefined where there is none. `seen` ends circles.
  const lookup = (entry, name, seen = new Set()) => {
    const mark = `${name}\n${entry.key}`;
    if (seen.has(mark)) return undefined;
    seen.add(mark);
    const own = entry.getters[name];
    if (own !== undefined) return own;
    for (const [exported, specifier, from] of entry.exports) {
      if (exported !== name || specifier === undefined) continue;
      const module = entry.dependencies.get(specifier);
      return from === undefined ? () => namespaceOf(module) : lookup(module, from, seen);
    }
    if (name === 'default') return undefined;
    let found;
    for (const specifier of entry.stars) {
      const getter = lookup(entry.dependencies.get(specifier), name, seen);
      if (getter === undefined) continue;
      if (found !== undefined && found !== getter) return undefined;
      found = getter;
    }
    return found;
  };

  const namesOf = (entry, names = new Set(), seen = new Set()) => {
    if (seen.has(entry)) return names;
    seen.add(entry);
    for (const name of ownKeys(entry.getters)) names.add(name);
    for (const [name] of entry.exports) names.add(name);
    for (const specifier of entry.stars) {
      const there = namesOf(entry.dependencies.get(specifier), new Set(), seen);
      for (const name of there) if (name !== 'default') names.add(name);
    }
    return names;
  };

  const namespaceOf = (entry) => {
    if (entry.namespace === undefined) {
      const namespace = create(null);
      for (const name of [...namesOf(entry)].sort()) {
        const get = lookup(entry, name);
        if (get !== undefined) defineProperty(namespace, name, { get, enumerable: true });
      }
      defineProperty(namespace, Symbol.toStringTag, { value: 'Module' });
      entry.namespace = wanted('module-namespace') ? freeze(namespace) : namespace;
    }
    return entry.namespace;
  };

  // The name of a function that was exported by default without one.
  const named = (entry) => {
    const get = entry.getters.default;
    if (get === undefined) return;
    try {
      const value = get();
      const name = isObject(value) ? getOwnPropertyDescriptor(value, 'name') : undefined;
      if (name?.value === entry.unnamed && name.configurable) {
        defineProperty(value, 'name', { value: 'default', configurable: true });
      }
    } catch {
      // Not made yet.
    }
  };

  // Makes the module's variables; what it exports can be read from then on.
  const instantiate = (compartment, entry) => {
    const { globals } = compartment;
    const { key, record, bindings } = entry;
    const scope = makeModuleScope(globals, bindings, record.tag);
    const make = evaluateModule(scope, globals, record.text, record.name);
    let start;
    const gate = new Promise((resolve) => {
      start = resolve;
    });
    const register = (getters) => {
      if (entry.getters !== undefined) throw new TypeError('a module exports once');
      entry.getters = getters;
      return gate;
    };
    const body = make(register, importer(compartment, key), meta);
    entry.done = body();
    // A function is there already, for modules of a circle as well.
    named(entry);
    entry.open = start;
    // Whoever awaits the module hears of it.
    entry.done.catch(() => {});
    entry.record = undefined;
    return record;
  };

  // What a module asks others for that they do not export.
  const unlinked = (entry, { bindings: wishes }) => {
    const errors = [];
    const missing = (name, specifier, by) => {
      const { key } = entry.dependencies.get(specifier);
      const place = placeOfImport(entry.key, specifier);
      errors.push(new SyntaxError(`'${name}' is not exported by ${key} (${by} by ${place})`));
    };
    for (const [, specifier, name] of wishes) {
      const from = entry.dependencies.get(specifier);
      if (name !== undefined && lookup(from, name) === undefined) {
        missing(name, specifier, 'imported');
      }
    }
    for (const [exported, specifier, from] of entry.exports) {
      if (from !== undefined && lookup(entry, exported) === undefined) {
        missing(from, specifier, 'exported');
      }
    }
    return errors;
  };

  const link = (entry, record) => {
    const [error] = unlinked(entry, record);
    if (error !== undefined) throw error;
    for (const [local, specifier, name] of record.bindings) {
      const from = entry.dependencies.get(specifier);
      const get = name === undefined ? () => namespaceOf(from) : lookup(from, name);
      defineProperty(entry.bindings, local, { get });
    }
    freeze(entry.bindings);
    entry.linked = true;
  };

  // Loads and links a module with all it asks for; nothing of it has run.
  const prepare = (compartment, key) => {
    const fresh = [];
    try {
      const entry = load(compartment, key, fresh);
      const made = [];
      for (const module of fresh) {
        if (!module.linked) made.push([module, instantiate(compartment, module)]);
      }
      for (const [module, record] of made) link(module, record);
      return entry;
    } catch (error) {
      // What could not be linked is as if it had never been asked for.
      for (const module of fresh) compartment.loaded.delete(module.key);
      throw error;
    }
  };

  // Runs a module after all it asks for, each once.
  const evaluate = async (entry) => {
    const order = [];
    const seen = new Set();
    const under = [];
    const visit = (module) => {
      if (seen.has(module)) return;
      seen.add(module);
      under.push({ module, rest: module.dependencies.values() });
    };
    visit(entry);
    while (under.length > 0) {
      const { rest } = under[under.length - 1];
      const { done, value } = rest.next();
      if (done) order.push(under.pop().module);
      else visit(value);
    }
    for (const module of order) {
      if (module.open !== undefined) {
        const { open } = module;
        module.open = undefined;
        open();
        await module.done;
      } else {
        await module.done;
      }
    }
  };

  const importInto = async (compartment, base, specifier) => {
    const entry = prepare(compartment, resolve(compartment, base, specifier));
    await evaluate(entry);
    return namespaceOf(entry);
  };

  // What `import(…)` calls in a compartment's code.
  const importer = (compartment, base) => async (specifier) =>
    importInto(compartment, base, `${specifier}`);

  // Loads the program that is being deployed, from its entry.
  const loadProgram = (key) => {
    const entry = prepare(host.startCompartment, key);
    return { namespace: namespaceOf(entry), evaluated: evaluate(entry) };
  };

  // Reads the program's files as they are loaded, from its entry on; says what the entry exports and
  // all that keeps the files from being linked, up to `most` errors. Nothing of them runs.
  const checkProgram = (key, files, most) => {
    const compartment = host.startCompartment;
    const { globals } = compartment;
    const errors = [];
    const fail = (error) => {
      if (errors.length < most) errors.push(error);
    };
    const attempt = (work) => {
      try {
        work();
      } catch (error) {
        fail(error);
      }
    };
    const fresh = [];
    const asked = [];
    const read = (path, queue) => {
      const entry = provide(compartment, path, fresh);
      const { record } = entry;
      const scope = makeModuleScope(globals, create(null), record.tag);
      evaluateModule(scope, globals, record.text, record.name);
      entry.getters = create(null);
      for (const [name, specifier] of entry.exports) {
        if (specifier === undefined) entry.getters[name] = () => undefined;
      }
      for (const name of record.requests) {
        attempt(() => {
          const wanted = resolve(compartment, path, name);
          asked.push(() => entry.dependencies.set(name, compartment.loaded.get(wanted)));
          queue.push(wanted);
        });
      }
    };
    const seen = new Set();
    const readAll = (queue) => {
      for (let at = 0; at < queue.length; at += 1) {
        const path = queue[at];
        if (!seen.has(path)) attempt(() => read(path, queue));
        seen.add(path);
      }
    };
    readAll([key]);
    // Those that only an `import(…)` names.
    readAll(files);
    if (errors.length > 0) return { exports: [], errors };
    for (const connect of asked) connect();
    for (const entry of fresh) {
      for (const error of unlinked(entry, entry.record)) fail(error);
    }
    return { exports: [...namesOf(compartment.loaded.get(key))], errors };
  };

  host.understoodModules = understoodModules;
  host.importInto = importInto;
  host.importer = importer;
  host.loadProgram = loadProgram;
  host.checkProgram = checkProgram;
  return {};
}
