// powers.clock and powers.random: the time and the chance that came with the turn's message.
//
// Both answer at once, and the same again when the message is delivered again.
(host) => {
  'use strict';
  const { Far, harden, turnTime, chanceBytes, chanceBytesMax, chanceBelow } = host;
  const { isSafeInteger, MAX_SAFE_INTEGER } = Number;

  const check = (what, n, least, most) => {
    if (isSafeInteger(n) && n >= least && n <= most) return;
    const found = typeof n === 'number' ? `${n}` : typeof n;
    throw new RangeError(`${what} must be a whole number from ${least} to ${most}, not ${found}`);
  };

  const bytes = (count) => {
    check('random.bytes: the count', count, 0, chanceBytesMax);
    return chanceBytes(count);
  };
  const int = (limit) => {
    check('random.int: the limit', limit, 1, MAX_SAFE_INTEGER);
    return chanceBelow(limit);
  };

  host.clock = harden(Far('clock', { now: () => turnTime() }));
  host.random = harden(Far('random', { bytes, int }));
  return {};
}
