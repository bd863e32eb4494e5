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
  const { readModule, evaluateModule, makeModuleScope, makeOwn } = host;
  const { isNamespace, makeNamespace } = host;
  const { resolveFile, placeOfImport, fileText, wanted } = host;
  const { create, defineProperty, freeze, getOwnPropertyDescriptor, hasOwn } = Object;
  const { ownKeys } = Reflect;
  // Numbers of own.rs: what rewritten text calls.
  const [IMPORT, EXPORTS, METHOD, FUNCTION, GET] = [3, 4, 5, 6, 7];

  // What the evaluations of a compartment call for `import(…)` and for the three forms of `!`.
  const insertedOf = (compartment) => {
    compartment.inserted ??= [makeOwn(IMPORT, compartment), makeOwn(METHOD), makeOwn(FUNCTION),
      makeOwn(GET)];
    return compartment.inserted;
  };

  const isObject = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';

  const show = (from) => (from === '' ? '' : ` (imported by ${from})`);

  // A text as a compartment's transforms make it.
  const transformed = (transforms, text) => {
    if (transforms === undefined) return text;
    let made = text;
    for (let at = 0; at < transforms.length; at += 1) {
      const transform = transforms[at];
      made = transform(made);
      if (typeof made !== 'string') {
        throw new TypeError(`Compartment: transforms[${at}] gave ${typeof made}, not a text`);
      }
    }
    return made;
  };

  // What makes an object a description of a module, and not a namespace.
  const DESCRIBE = ['source', 'namespace', 'compartment', 'record', 'specifier', 'execute'];
  const checkDescription = (name, value) => {
    const keys = ownKeys(value);
    for (const key of keys) {
      if (key === 'source' || key === 'namespace') continue;
      throw new TypeError(`Compartment: module '${name}': ${String(key)} is not supported yet ` +
        '(a module is source text, { source } or { namespace })');
    }
    if (keys.length > 1) {
      throw new TypeError(`Compartment: module '${name}' has both a source and a namespace`);
    }
    const { source, namespace } = value;
    if (hasOwn(value, 'source')) {
      if (typeof source === 'string') return { source };
      throw new TypeError(`Compartment: the source of module '${name}' must be text`);
    }
    if (isObject(namespace)) return { namespace };
    throw new TypeError(`Compartment: the namespace of module '${name}' must be an object`);
  };

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
      } else {
        const described = !isNamespace(value) && DESCRIBE.some((key) => hasOwn(value, key));
        given.set(name, described ? checkDescription(name, value) : { namespace: value });
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
    const text = transformed(compartment.transforms, source);
    const record = readModule(text, key, compartment.files);
    const entry = {
      __proto__: null, key, record, getters: undefined, namespace: undefined,
      dependencies: new Map(), exports: record.exports, stars: record.stars,
      unnamed: record.unnamed, linked: false,
      bindings: create(null), open: undefined, done: undefined, failed: false,
      compartment: undefined, gate: undefined,
    };
    loaded.set(key, entry);
    fresh.push(entry);
    return entry;
  };

  // The files that `import('./…')` names in a program's file. They are read and linked with the
  // others, so that what is wrong with them is said when the program is checked or deployed; they
  // run when they are imported.
  const literals = ({ files }, record) => {
    const isRelative = (name) => name.startsWith('./') || name.startsWith('../');
    return files ? record.dynamic.filter(isRelative) : [];
  };

  // Reads a module with all it asks for, in the order they are asked for.
  const load = (compartment, key, fresh) => {
    const asked = (entry) => {
      const { record } = entry;
      const requests = record?.requests ?? [];
      const all = record === undefined ? [] : [...requests, ...literals(compartment, record)];
      return { entry, all, awaited: requests.length, at: 0 };
    };
    const first = provide(compartment, key, fresh);
    // A list of our own: chains of imports may be longer than calls can nest.
    const under = fresh.length === 0 ? [] : [asked(first)];
    while (under.length > 0) {
      const top = under[under.length - 1];
      if (top.at === top.all.length) {
        under.pop();
        continue;
      }
      const name = top.all[top.at];
      const isAwaited = top.at < top.awaited;
      top.at += 1;
      const known = fresh.length;
      const wanted = provide(compartment, resolve(compartment, top.entry.key, name), fresh);
      if (isAwaited) top.entry.dependencies.set(name, wanted);
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
      const open = !wanted('module-namespace');
      const table = create(null);
      for (const name of [...namesOf(entry)].sort()) {
        const get = lookup(entry, name);
        if (get !== undefined) defineProperty(table, name, open ? { get } : { value: get });
      }
      entry.namespace = open ? table : makeNamespace(table);
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
    const { record, bindings } = entry;
    const scope = makeModuleScope(globals, bindings, record.tag);
    const inserted = insertedOf(compartment);
    const make = evaluateModule(scope, globals, inserted, record.text, record.name);
    let start;
    entry.compartment = compartment;
    entry.gate = new Promise((resolve) => {
      start = resolve;
    });
    // `import.meta` is a property of what the word `import` becomes there.
    const meta = freeze({ __proto__: null, meta: freeze({ __proto__: null }) });
    const body = make(makeOwn(EXPORTS, entry), makeOwn(IMPORT, entry), meta);
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

  // Boxed, as a module may export a `then`, which the promise would call.
  const importInto = async (compartment, base, specifier) => {
    const entry = prepare(compartment, resolve(compartment, base, specifier));
    await evaluate(entry);
    return freeze({ namespace: namespaceOf(entry) });
  };

  // The namespace itself, unless whoever waits for it would get what its `then` says instead.
  const unboxed = ({ namespace }, specifier) => {
    if (typeof namespace.then === 'function') {
      throw new TypeError(`import('${specifier}'): the module exports a function \`then\`, which ` +
        'a promise for it would call in its place: give it another name, or use an import ' +
        'statement');
    }
    return namespace;
  };

  // What `import(…)` calls in the code of a compartment, or of a module.
  const importIn = async (of, _, specifier) => {
    const name = `${specifier}`;
    const ofModule = of.compartment !== undefined;
    const [compartment, base] = ofModule ? [of.compartment, of.key] : [of, ''];
    return unboxed(await importInto(compartment, base, name), name);
  };

  // What a module's text calls once, with how to read what it exports; it then waits for its turn.
  const exportsIn = (entry, _, getters) => {
    if (entry.getters !== undefined) throw new TypeError('a module exports once');
    entry.getters = getters;
    return entry.gate;
  };

  // Loads the program that is being deployed, from its entry.
  const loadProgram = (key) => {
    const entry = prepare(host.startCompartment, key);
    return { namespace: namespaceOf(entry), evaluated: evaluate(entry) };
  };

  // Reads the program's files as they are loaded, from its entry on; says what the entry exports and
  // all that keeps the files from being linked, up to `most` errors. Nothing of them runs.
  const checkProgram = (key, most) => {
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
      evaluateModule(scope, globals, insertedOf(compartment), record.text, record.name);
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
      for (const name of literals(compartment, record)) {
        attempt(() => queue.push(resolve(compartment, path, name)));
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
    if (errors.length > 0) return { exports: [], errors };
    for (const connect of asked) connect();
    for (const entry of fresh) {
      for (const error of unlinked(entry, entry.record)) fail(error);
    }
    return { exports: [...namesOf(compartment.loaded.get(key))], errors };
  };

  host.understoodModules = understoodModules;
  host.importInto = importInto;
  host.transformed = transformed;
  host.unboxed = unboxed;
  host.importIn = importIn;
  host.exportsIn = exportsIn;
  host.insertedOf = insertedOf;
  host.loadProgram = loadProgram;
  host.checkProgram = checkProgram;
  return {};
}
