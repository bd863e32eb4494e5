const o = {};
o.valueOf = () => 7;
o + 1 === 8;
