// Leaves marks wherever something takes them, and looks for marks wherever something gives them.
// A script, evaluated in the compartment that does the one or the other; its value has both.
(() => {
  'use strict';
  // Taken now: a mark may come to lie on the globals themselves.
  const tools = { Object, Reflect, Promise, Symbol, Uint8Array, Set, Function };
  const { assign, defineProperty, freeze, getOwnPropertyDescriptor, getPrototypeOf } =
    tools.Object;
  const { setPrototypeOf } = tools.Object;
  const { apply, construct, get, ownKeys, set } = tools.Reflect;
  const { then } = tools.Promise.prototype;
  const makeSet = (given) => new tools.Set(given);
  // How far from what is reached by name a call's answer is looked at.
  const DEPTH_MAX = 1;
  // More places than this need not be told.
  const FOUND_MAX = 50;
  const nothing = () => {};

  const isObject = (value) =>
    (typeof value === 'object' && value !== null) || typeof value === 'function';
  const isPromise = (value) => {
    try {
      return value instanceof tools.Promise;
    } catch {
      return false;
    }
  };
  // One's own properties, or inherited ones too, with their names. A revoked proxy shows none.
  const members = (object, inherited) => {
    const found = [];
    try {
      for (let at = object; at !== null; at = inherited ? getPrototypeOf(at) : null) {
        for (const key of ownKeys(at)) {
          const one = getOwnPropertyDescriptor(at, key);
          if (one !== undefined) found.push([key, one]);
        }
      }
    } catch {}
    return found;
  };
  const read = (object, key) => {
    try {
      return get(object, key);
    } catch {
      return undefined;
    }
  };

  // Items are of the walk. `marked` takes every object and symbol that is a mark; `text` marks
  // strings. Gives how many calls there were.
  const leave = (items, marked, text) => {
    let calls = 0;
    const mark = (value) => {
      marked.add(value);
      return value;
    };
    // One mark of each kind, new for each object tried: some come out frozen.
    const makeKinds = () => {
      const made = [
        { message: text, name: text, done: true, value: text, 0: text, length: 1 },
        () => mark({}),
        [text],
        tools.Uint8Array.from(text, (c) => c.charCodeAt(0)),
        new tools.Promise((resolve) => resolve(text)),
      ];
      return [...made.map(mark), text];
    };
    const attempt = (work) => {
      calls += 1;
      try {
        const result = work();
        if (isPromise(result)) apply(then, result, [nothing, nothing]);
        return result;
      } catch {
        return undefined;
      }
    };
    // An object that is given to itself may end in itself, and then its text never ends.
    const call = (work, self, kinds, others) => {
      for (const [at, kind] of kinds.entries()) {
        attempt(() => apply(work, self, [kind, kind, kind]));
        attempt(() => apply(work, others[at], [kind]));
        attempt(() => apply(work, self, [text, kind]));
        attempt(() => construct(work, [kind, kind]));
      }
      const streamed = tools.Uint8Array.from(text, (c) => c.charCodeAt(0));
      attempt(() => apply(work, self, [streamed, { stream: true }]));
    };
    for (const { object, shared } of items) {
      const [kinds, others] = [makeKinds(), makeKinds()];
      // What is one's own may change, and nobody else sees it.
      for (const kind of shared ? kinds : []) {
        attempt(() => set(object, 'mark', kind));
        attempt(() => defineProperty(object, 'mark', { value: kind, configurable: true }));
        attempt(() => assign(object, { mark: kind }));
        attempt(() => setPrototypeOf(object, kind));
      }
      for (const [key, found] of members(object, !shared)) {
        for (const kind of kinds) {
          if (shared) attempt(() => set(object, key, kind));
          if (found.set !== undefined) attempt(() => apply(found.set, object, [kind]));
          if (found.set !== undefined) attempt(() => apply(found.set, kind, [kind]));
        }
        const value = 'value' in found ? found.value : read(object, key);
        if (typeof value === 'function') call(value, object, kinds, others);
        if (typeof found.get === 'function') attempt(() => apply(found.get, mark({}), []));
      }
      if (typeof object === 'function') call(object, undefined, kinds, others);
    }
    return calls;
  };

  // Paths of marks are added to `found`, also later, by what promises give. Gives how many
  // values were looked at.
  const look = (items, from, to, marked, text, found) => {
    let looked = 0;
    const seen = makeSet(items.map(({ object }) => object));
    const view = (path, value, depth) => {
      looked += 1;
      const is = typeof value === 'string' ? value.includes(text) : marked.has(value);
      if (is && found.length < FOUND_MAX) found.push(path);
      if (!isObject(value) || seen.has(value)) return;
      seen.add(value);
      if (isPromise(value)) {
        const tell = (answer) => view(`${path}{await}`, answer, depth);
        try {
          apply(then, value, [tell, tell]);
        } catch {}
      }
      if (depth <= DEPTH_MAX) visit(path, value, depth);
    };
    const attempt = (path, depth, work) => {
      let value;
      try {
        value = work();
      } catch (error) {
        value = error;
      }
      view(path, value, depth + 1);
    };
    const visit = (path, object, depth) => {
      for (const [key, { get: getter }] of members(object, true)) {
        const name = typeof key === 'symbol' ? `${path}[${key.description}]` : `${path}.${key}`;
        if (typeof key === 'symbol' ? marked.has(key) : key.includes(text)) found.push(name);
        const value = read(object, key);
        view(name, value, depth + 1);
        if (getter !== undefined) attempt(`${name}{get}`, depth, () => apply(getter, object, []));
        // Methods of an answer are those of a form, which is looked at itself.
        if (depth === 0 && typeof value === 'function') {
          attempt(`${name}()`, depth, () => apply(value, object, []));
          attempt(`new ${name}()`, depth, () => construct(value, []));
        }
      }
      attempt(`${path}{proto}`, depth, () => getPrototypeOf(object));
      if (typeof object === 'function') {
        attempt(`${path}()`, depth, () => apply(object, undefined, []));
        attempt(`new ${path}()`, depth, () => construct(object, []));
      }
    };
    for (const { path, object } of items.slice(from, to)) {
      if (marked.has(object)) found.push(path);
      visit(path, object, 0);
    }
    return looked;
  };
  return freeze({ leave, look });
})()
