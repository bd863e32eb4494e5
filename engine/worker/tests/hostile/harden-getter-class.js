// repair: harden-accessors, harden-prototype
// reason: accessors of a class are on its prototype.
class A { get x() { return 1; } }
harden(new A());
const { get } = Object.getOwnPropertyDescriptor(A.prototype, 'x');
try { get.note = 'left'; } catch {}
get.note === 'left';
