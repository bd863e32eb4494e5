const o = {};
Reflect.defineProperty(o, 'x', { value: 1 });
Reflect.ownKeys(o).join() === 'x' && Reflect.has(o, 'x');
