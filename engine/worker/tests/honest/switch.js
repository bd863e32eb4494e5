const f = (x) => { switch (x) { case 1: return 'a'; default: return 'b'; } };
f(1) + f(2) === 'ab';
