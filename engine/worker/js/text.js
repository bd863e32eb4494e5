// TextEncoder and TextDecoder: UTF-8, which is the one encoding there is here.
(host) => {
  'use strict';
  const { utf8Encode, utf8Decode } = host;
  const { defineProperty, getPrototypeOf, getOwnPropertyDescriptor } = Object;
  const { apply } = Reflect;
  const { isView } = ArrayBuffer;
  const bytesPrototype = getPrototypeOf(Uint8Array.prototype);
  const { set: setBytes } = bytesPrototype;
  const getter = (prototype, key) => {
    const { get } = getOwnPropertyDescriptor(prototype, key);
    return (object) => apply(get, object, []);
  };
  const bufferOf = getter(bytesPrototype, 'buffer');
  const offsetOf = getter(bytesPrototype, 'byteOffset');
  const lengthOf = getter(bytesPrototype, 'byteLength');
  const viewBufferOf = getter(DataView.prototype, 'buffer');
  const viewOffsetOf = getter(DataView.prototype, 'byteOffset');
  const viewLengthOf = getter(DataView.prototype, 'byteLength');
  const kindOf = getter(bytesPrototype, Symbol.toStringTag);
  const LABELS = { __proto__: null, 'utf-8': 1, utf8: 1, 'unicode-1-1-utf-8': 1 };

  // The bytes of a buffer or of a view on one.
  const bytesOf = (input) => {
    if (input === undefined) return new Uint8Array(0);
    if (!isView(input)) return new Uint8Array(input, 0);
    if (kindOf(input) !== undefined) {
      return new Uint8Array(bufferOf(input), offsetOf(input), lengthOf(input));
    }
    return new Uint8Array(viewBufferOf(input), viewOffsetOf(input), viewLengthOf(input));
  };

  class TextEncoder {
    #encoder = true;

    get encoding() {
      return this.#encoder && 'utf-8';
    }

    encode(text = '') {
      return this.#encoder && utf8Encode(`${text}`);
    }

    encodeInto(text, target) {
      if (this.#encoder && kindOf(target) !== 'Uint8Array') {
        throw new TypeError('TextEncoder: encodeInto writes into a Uint8Array');
      }
      let read = 0;
      let written = 0;
      const room = lengthOf(target);
      for (const letter of `${text}`) {
        const bytes = utf8Encode(letter);
        if (written + bytes.length > room) break;
        apply(setBytes, target, [bytes, written]);
        written += bytes.length;
        read += letter.length;
      }
      return { read, written };
    }
  }

  class TextDecoder {
    #fatal;
    #ignoreBOM;
    // Bytes of a character that has not ended, in a stream.
    #rest = new Uint8Array(0);
    // Whether the stream is past its byte order mark.
    #begun = false;

    constructor(label = 'utf-8', options = {}) {
      const name = `${label}`.trim().toLowerCase();
      if (LABELS[name] !== 1) throw new RangeError(`TextDecoder: only utf-8 is known, not ${name}`);
      const { fatal, ignoreBOM } = options ?? {};
      this.#fatal = !!fatal;
      this.#ignoreBOM = !!ignoreBOM;
    }

    get encoding() {
      return #fatal in this && 'utf-8';
    }

    get fatal() {
      return this.#fatal;
    }

    get ignoreBOM() {
      return this.#ignoreBOM;
    }

    decode(input, options) {
      const stream = !!(options ?? {}).stream;
      const given = bytesOf(input);
      const rest = this.#rest;
      const bytes = new Uint8Array(rest.length + given.length);
      bytes.set(rest, 0);
      bytes.set(given, rest.length);
      this.#rest = new Uint8Array(0);
      const keepsMark = this.#begun || this.#ignoreBOM;
      this.#begun = false;
      const { text, used } = utf8Decode(bytes, this.#fatal, stream, keepsMark);
      if (stream) {
        this.#rest = bytes.slice(used);
        this.#begun = keepsMark || used > 0;
      }
      return text;
    }
  }

  for (const [constructor, name] of [[TextEncoder, 'TextEncoder'], [TextDecoder, 'TextDecoder']]) {
    defineProperty(constructor.prototype, Symbol.toStringTag, { value: name, configurable: true });
  }
  return { TextEncoder, TextDecoder };
}
