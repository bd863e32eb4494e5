class L extends Array { last() { return this.at(-1); } }
L.from([1, 2]).last() === 2;
