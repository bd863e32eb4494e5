// repair: harden-accessors
// reason: and so is a setter.
const set = () => {};
harden(Object.defineProperty({}, 'x', { set }));
try { set.note = 'left'; } catch {}
set.note === 'left';
