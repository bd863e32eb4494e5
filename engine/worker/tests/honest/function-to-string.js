function f(x) { return x; }
f.toString() === 'function f(x) { return x; }';
