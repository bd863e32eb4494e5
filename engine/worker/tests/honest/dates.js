const d = new Date(Date.UTC(2024, 1, 29));
d.toISOString() === '2024-02-29T00:00:00.000Z' && d.getTimezoneOffset() === 0;
