class A { static x; static { A.x = 4; } }
A.x === 4;
