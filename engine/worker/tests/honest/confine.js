SES.confine('a + b', { a: 1, b: 2 }) === 3 && cajaVM.confine('f(1)', { f: (x) => x + 1 }) === 2;
