class A { #f() { return 5; } static #g() { return 6; } f() { return this.#f() + A.#g(); } }
new A().f() === 11;
