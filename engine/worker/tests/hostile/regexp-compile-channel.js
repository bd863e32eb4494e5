// repair: regexp-compile
// reason: compile gives a frozen expression another pattern: two that hold it could talk.
const shared = harden(/a/);
const c = new Compartment({ shared });
try { shared.compile('left'); } catch {}
c.evaluate('shared.source') === 'left';
