class A { #v = 0; get v() { return this.#v; } set v(n) { this.#v = n * 2; } }
const a = new A();
a.v = 4;
a.v === 8;
