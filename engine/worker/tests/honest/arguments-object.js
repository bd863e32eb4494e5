function f() { return arguments.length + arguments[0]; }
f(1, 2) === 3;
