// What programs see of text that was rewritten for `x ! m()`: what its author wrote.
(host) => {
  'use strict';
  const { restoreText } = host;
  const { apply } = Reflect;
  const { toString: written } = Function.prototype;
  const { toString } = {
    toString() {
      return restoreText(apply(written, this, []));
    },
  };
  Object.defineProperty(Function.prototype, 'toString', { value: toString });
  return {};
}
