// repair: freeze
// reason: what regexp exec does for one compartment it does for all, so no compartment may
// replace it.
try { RegExp.prototype.exec = () => { const m = ['mine']; m.index = 0; return m; }; } catch {}
new Compartment().evaluate(`'x'.match(/y/)[0]`) === 'mine';
