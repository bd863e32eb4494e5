function* a() { yield 1; return 2; }
function* b() { const r = yield* a(); yield r; }
[...b()].join() === '1,2';
