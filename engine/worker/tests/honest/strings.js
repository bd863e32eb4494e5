'abc'.at(-1) + 'a'.padStart(3, '-') + 'é'.normalize('NFD').length === 'c--a2';
