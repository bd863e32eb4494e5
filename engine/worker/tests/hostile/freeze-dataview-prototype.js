// repair: freeze
// reason: dataview prototype is shared by every compartment and frozen: a mark put on it cannot
// be left for a stranger to find.
const target = DataView.prototype;
try { Object.defineProperty(target, 'mark', { value: 'left' }); } catch {}
new Compartment().evaluate(
  `new DataView(new ArrayBuffer(1)).mark`,
) === 'left';
