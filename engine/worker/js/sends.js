// What rewritten `x ! m(a)` calls; every evaluation's scope binds these to names that no program
// can write. Each gives a promise at once.
(host) => {
  'use strict';
  const { HandledPromise } = host;
  const { applyFunction, applyMethod, get } = HandledPromise;
  host.hidden = [
    (target, key, ...values) => applyMethod(target, key, values),
    (target, mark, ...values) => applyFunction(target, values),
    (target, key) => get(target, key),
  ];
  return {};
}
