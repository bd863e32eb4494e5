// repair: freeze
// reason: suppressed error prototype is shared by every compartment and frozen: a mark put on it
// cannot be left for a stranger to find.
const target = 
  (() => { try { using a = { [Symbol.dispose]() { throw 1; } }; throw 2;
  } catch (e) { return Object.getPrototypeOf(e); } })();
try { target.mark = 'left'; } catch {}
new Compartment().evaluate(
  `new SuppressedError().mark`,
) === 'left';
