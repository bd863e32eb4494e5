JSON.parse('[1,2]', (k, v) => (typeof v === 'number' ? v * 2 : v)).join() === '2,4';
