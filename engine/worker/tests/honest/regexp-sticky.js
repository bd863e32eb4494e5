const r = /a/y;
r.lastIndex = 1;
r.test('ba') && r.lastIndex === 2;
