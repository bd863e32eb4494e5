const o = {};
o.toString = () => 'mine';
`${o}` === 'mine';
