// repair: regexp-compile
// reason: a guard's expression, hardened, must go on refusing what it refused.
const guard = (() => { const p = harden(/^[a-z]+$/); return harden({ p,
  ok: (s) => p.test(s) }); })();
try { guard.p.compile('.*'); } catch {}
guard.ok('<script>');
