// repair: freeze
// reason: json is shared by every compartment and frozen: a mark put on it cannot be left for a
// stranger to find.
const target = JSON;
try { Reflect.set(target, 'mark', 'left'); } catch {}
new Compartment().evaluate(
  `JSON.mark`,
) === 'left';
