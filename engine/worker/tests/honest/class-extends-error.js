class E2 extends Error { constructor(m) { super(m); this.name = 'E2'; } }
`${new E2('m')}` === 'E2: m';
