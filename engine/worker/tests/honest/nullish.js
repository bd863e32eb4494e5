let a = null;
a ??= 5;
let b = 0;
b ||= 6;
let c = 1;
c &&= 7;
[a, b, c].join() === '5,6,7';
