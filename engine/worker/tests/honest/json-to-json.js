JSON.stringify({ toJSON: () => ({ x: 1 }) }) === '{"x":1}';
