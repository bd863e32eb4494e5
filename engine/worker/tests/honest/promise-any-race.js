(async () => (await Promise.any([Promise.reject(1), 2])) + (await Promise.race([3, 4])) === 5)();
