(async () => (await Promise.try(() => { throw 1; }).catch((e) => e + 1)) === 2)();
