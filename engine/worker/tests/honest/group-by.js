Object.groupBy([1, 2, 3], (x) => (x % 2 ? 'odd' : 'even')).odd.join() === '1,3';
