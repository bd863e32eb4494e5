(async () => (await Array.fromAsync([Promise.resolve(1), 2])).join() === '1,2')();
