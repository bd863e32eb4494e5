(async () => (await E({ m: (x) => x + 1 }).m(1)) === 2)();
