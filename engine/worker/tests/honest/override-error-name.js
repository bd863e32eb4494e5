const e = new TypeError('m');
e.name = 'N';
e.message = 'n';
`${e}` === 'N: n';
