// repair: harden-whole
// reason: a trap that calls harden in the middle must not be told that a half-frozen object is
// hardened.
const late = { open: true };
const x = {};
let first = true;
let told = true;
x.p = new Proxy({}, {
  preventExtensions(target) {
    if (first) {
      first = false;
      harden(x);
      told = Object.isFrozen(late);
    }
    Object.preventExtensions(target);
    return true;
  },
});
x.z = late;
harden(x);
told === false;
