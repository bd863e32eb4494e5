// What programs see of text that was rewritten for `x ! m()`: what its author wrote.
(host) => {
  'use strict';
  const { fileOf, restoreText } = host;
  const { apply } = Reflect;
  const { toString: written } = Function.prototype;
  const { toString } = {
    toString() {
      const text = apply(written, this, []);
      return restoreText(text, apply(fileOf, this, []));
    },
  };
  Object.defineProperty(Function.prototype, 'toString', { value: toString });
  return {};
}
