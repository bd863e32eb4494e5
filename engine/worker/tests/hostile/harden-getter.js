// repair: harden-accessors
// reason: a getter is an object that can hold properties.
const get = () => 1;
const a = harden(Object.defineProperty({}, 'x', { get, configurable: true }));
try { get.note = 'left'; } catch {}
get.note === 'left';
