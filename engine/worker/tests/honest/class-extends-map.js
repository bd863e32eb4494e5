class D extends Map { get(k) { return super.get(k) ?? 0; } }
new D().get('x') === 0;
