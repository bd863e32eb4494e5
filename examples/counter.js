// A counter that never forgets.
//
//   kenvat run examples/counter.js        in one terminal
//   kenvat call counter incr              in a second: 1, then 2, then 3, …
//   kenvat call counter incr 10           adds ten
//   kenvat call counter read              only looks
//
// Now kill -9 the host, or pull the plug, and start it again: `read` says what the last answered
// `incr` said. There is no database in this file, and none behind it: `n` is a variable, and it is
// the variable that is still there.

export default () => {
  let n = 0;
  return Far('counter', {
    incr(by = 1) {
      // Checked before anything changes: an exception breaks the caller's promise, not the turn,
      // and what was assigned before it would stay assigned.
      const next = n + by;
      if (!Number.isSafeInteger(next)) {
        throw new TypeError(`incr takes a whole number, not ${String(by)}`);
      }
      n = next;
      return n;
    },
    read: () => n,
  });
};
