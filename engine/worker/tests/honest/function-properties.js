function f(a, b = 1, ...c) {}
f.tag = 'x';
f.length === 1 && f.name === 'f' && f.tag === 'x';
