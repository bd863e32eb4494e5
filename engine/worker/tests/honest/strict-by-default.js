(function () { return this === undefined; })() && (() => { try { undeclared = 1; } catch (e) {
  return e.name === 'ReferenceError'; } })();
