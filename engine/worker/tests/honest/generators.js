function* g() { const x = yield 1; yield x * 2; }
const i = g();
i.next();
i.next(21).value === 42;
