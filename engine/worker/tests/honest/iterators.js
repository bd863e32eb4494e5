const it = { *[Symbol.iterator]() { yield* [1, 2, 3]; } };
Iterator.from(it).filter((x) => x % 2).map((x) => x * 2).toArray().join() === '2,6';
