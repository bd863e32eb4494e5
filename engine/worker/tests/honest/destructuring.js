const { a, b: [c, ...d], ...rest } = { a: 1, b: [2, 3, 4], e: 5 };
[a, c, d, rest.e].join() === '1,2,3,4,5';
