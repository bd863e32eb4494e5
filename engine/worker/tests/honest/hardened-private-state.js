class C { #n = 0; up() { this.#n += 1; return this.#n; } }
const c = harden(new C());
c.up();
c.up() === 2;
