function P(x) { this.x = x; }
P.prototype.twice = function () { return this.x * 2; };
P.prototype.toString = function () { return `P${this.x}`; };
`${new P(2)}${new P(3).twice()}` === 'P26';
