const o = { get x() { return 1; }, set x(v) { this.y = v; } };
o.x = 5;
o.x + o.y === 6;
