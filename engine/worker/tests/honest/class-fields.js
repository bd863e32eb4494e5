class A { x = 1; #y = 2; sum() { return this.x + this.#y; } }
new A().sum() === 3;
