class A { #x; static is(o) { return #x in o; } }
A.is(new A()) && !A.is({});
