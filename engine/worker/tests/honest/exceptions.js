const f = () => { try { throw 1; } catch { return 2; } finally { globalThis.x = 3; } };
f() + x === 5;
