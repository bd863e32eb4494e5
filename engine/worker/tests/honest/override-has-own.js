const o = {};
o.hasOwnProperty = 1;
o.hasOwnProperty === 1;
