const e = new AggregateError([1, 2], 'm');
e.errors.length === 2 && e instanceof Error;
