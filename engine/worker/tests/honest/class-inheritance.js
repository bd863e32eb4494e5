class A { who() { return 'a'; } }
class B extends A { who() { return super.who() + 'b'; } }
new B().who() === 'ab';
