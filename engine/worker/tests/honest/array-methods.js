[3, 1, 2].toSorted().join() + [1, [2, [3]]].flat(2).length + [1, 2,
  3].findLast((x) => x < 3) === '1,2,332';
