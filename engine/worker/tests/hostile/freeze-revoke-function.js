// repair: freeze
// reason: revoke function is shared by every compartment and frozen: a mark put on it cannot be
// left for a stranger to find.
const target = Proxy.revocable;
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `Proxy.revocable.mark`,
) === 'left';
