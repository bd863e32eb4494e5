// Values for people: what console writes. Runs no getter; primordials are taken now, so that a
// program that changes them does not change its log.
(host) => {
  'use strict';
  const { getOwnPropertyDescriptor, getPrototypeOf, is, defineProperty } = Object;
  const { apply, ownKeys } = Reflect;
  const { isArray } = Array;
  const { isView } = ArrayBuffer;
  const { stringify } = JSON;
  const method = (prototype, name) => {
    const value = prototype[name];
    return (object, ...rest) => apply(value, object, rest);
  };
  const getter = (prototype, name) => {
    const { get } = getOwnPropertyDescriptor(prototype, name);
    return (object) => apply(get, object, []);
  };
  const bigintText = method(BigInt.prototype, 'toString');
  const symbolText = method(Symbol.prototype, 'toString');
  const slice = method(String.prototype, 'slice');
  const dateText = method(Date.prototype, 'toISOString');
  const dateTime = method(Date.prototype, 'getTime');
  const regexpSource = getter(RegExp.prototype, 'source');
  const regexpFlags = getter(RegExp.prototype, 'flags');
  const mapEach = method(Map.prototype, 'forEach');
  const mapSize = getter(Map.prototype, 'size');
  const setEach = method(Set.prototype, 'forEach');
  const setSize = getter(Set.prototype, 'size');
  const test = method(RegExp.prototype, 'test');
  const { isError } = Error;

  const DEPTH_MAX = 4;
  const ENTRIES_MAX = 100;
  const STRING_MAX = 10000;
  const TEXT_MAX = 60000;
  const PLAIN_KEY = /^[A-Za-z_$][A-Za-z0-9_$]*$/;

  const attempt = (work) => {
    try {
      return work();
    } catch {
      return undefined;
    }
  };

  // A property's value where it is plain data, also on prototypes.
  const dataOf = (object, key) => {
    let at = object;
    for (let depth = 0; at !== null && depth < 20; depth += 1) {
      const property = getOwnPropertyDescriptor(at, key);
      if (property !== undefined) {
        // A primordial's own property may stand behind a getter of freeze.js.
        return property.get === undefined ? property.value : host.plainValue(property.get);
      }
      at = getPrototypeOf(at);
    }
    return undefined;
  };

  const className = (object) => {
    const constructor = dataOf(object, 'constructor');
    const name = typeof constructor === 'function' ? dataOf(constructor, 'name') : undefined;
    return typeof name === 'string' ? name : '';
  };

  const stack = (error) => host.authorsStack(apply(host.errorStack, error, []));

  const errorText = (error, stacks) => {
    const name = host.errorName?.(error) ?? dataOf(error, 'name');
    const message = dataOf(error, 'message');
    const text = (value, otherwise) => (typeof value === 'string' ? value : otherwise);
    const head = `${text(name, 'Error')}: ${text(message, '')}`;
    const trace = stacks ? attempt(() => stack(error)) : '';
    return typeof trace === 'string' && trace !== '' ? `${head}\n${trimEnd(trace)}` : head;
  };
  const trimEnd = method(String.prototype, 'trimEnd');

  const primitive = (value, nested) => {
    switch (typeof value) {
      case 'string': {
        // A line of its own is cut by the log, at its own limit.
        if (!nested) return value;
        return stringify(value.length > STRING_MAX ? `${slice(value, 0, STRING_MAX)}…` : value);
      }
      case 'number':
        return is(value, -0) ? '-0' : `${value}`;
      case 'bigint':
        return `${bigintText(value)}n`;
      case 'symbol':
        return symbolText(value);
      default:
        return `${value}`;
    }
  };

  const keyText = (key) => {
    if (typeof key === 'symbol') return `[${symbolText(key)}]`;
    return test(PLAIN_KEY, key) ? key : stringify(key);
  };

  // Programs are shown values without `stacks`.
  const format = (root, stacks = true) => {
    let size = 0;
    const parents = [];
    const isParent = (object) => {
      for (let at = 0; at < parents.length; at += 1) if (parents[at] === object) return true;
      return false;
    };
    const setSlot = (index, value) => {
      defineProperty(parents, index, {
        __proto__: null, value, writable: true, enumerable: true, configurable: true,
      });
    };

    const list = (open, close, each) => {
      let out = '';
      let count = 0;
      let left = 0;
      each((text) => {
        if (count >= ENTRIES_MAX || size > TEXT_MAX) {
          left += 1;
          return;
        }
        const entry = text();
        size += entry.length;
        out += count === 0 ? entry : `, ${entry}`;
        count += 1;
      });
      if (left > 0) out += `${count === 0 ? '' : ', '}… ${left} more`;
      return out === '' ? `${open}${close}` : `${open} ${out} ${close}`;
    };

    const property = (object, key, depth) => {
      const found = getOwnPropertyDescriptor(object, key);
      if (found === undefined) return 'undefined';
      if (found.get !== undefined || found.set !== undefined) return '[accessor]';
      return any(found.value, depth + 1, true);
    };

    const elements = (object, depth) =>
      list('[', ']', (entry) => {
        for (let at = 0; at < object.length && at <= ENTRIES_MAX; at += 1) {
          entry(() => property(object, at, depth));
        }
        for (let at = ENTRIES_MAX + 1; at < object.length && at < 2 * ENTRIES_MAX; at += 1) {
          entry(() => '');
        }
      });

    const properties = (object, depth) =>
      list('{', '}', (entry) => {
        const keys = ownKeys(object);
        for (let at = 0; at < keys.length; at += 1) {
          const key = keys[at];
          const { enumerable } = getOwnPropertyDescriptor(object, key) ?? {};
          if (enumerable) entry(() => `${keyText(key)}: ${property(object, key, depth)}`);
        }
      });

    const object = (value, depth) => {
      if (typeof value === 'function') {
        const name = dataOf(value, 'name');
        return `[Function${typeof name === 'string' && name !== '' ? `: ${name}` : ''}]`;
      }
      if (isError(value)) return errorText(value, stacks);
      const name = className(value);
      if (isArray(value)) return elements(value, depth);
      if (isView(value) && 'length' in value) {
        return `${name}(${value.length}) ${elements(value, depth)}`;
      }
      const time = attempt(() => dateTime(value));
      if (time !== undefined) return is(time, NaN) ? 'Invalid Date' : dateText(value);
      if (attempt(() => regexpSource(value)) !== undefined && name === 'RegExp') {
        return `/${regexpSource(value)}/${regexpFlags(value)}`;
      }
      const maps = attempt(() => mapSize(value));
      if (maps !== undefined) {
        return `Map(${maps}) ${list('{', '}', (entry) =>
          mapEach(value, (item, key) =>
            entry(() => `${any(key, depth + 1, true)} => ${any(item, depth + 1, true)}`)))}`;
      }
      const sets = attempt(() => setSize(value));
      if (sets !== undefined) {
        return `Set(${sets}) ${list('{', '}', (entry) =>
          setEach(value, (item) => entry(() => any(item, depth + 1, true))))}`;
      }
      const tag = dataOf(value, Symbol.toStringTag);
      const label = typeof tag === 'string' ? tag : name === 'Object' ? '' : name;
      const body = properties(value, depth);
      return label === '' ? body : `[${label}] ${body}`;
    };

    const any = (value, depth, nested) => {
      if ((typeof value !== 'object' || value === null) && typeof value !== 'function') {
        return primitive(value, nested);
      }
      if (isParent(value)) return '[circular]';
      if (depth > DEPTH_MAX) return isArray(value) ? '[array]' : '[object]';
      const at = parents.length;
      setSlot(at, value);
      try {
        return object(value, depth);
      } finally {
        parents.length = at;
      }
    };

    return attempt(() => any(root, 0, false)) ?? '[unprintable]';
  };

  // Not a global: found again by the worker and by console.
  host.format = format;
  return {};
}
