// repair: error-stack
// reason: a stack tells where in the maker's files its callers are.
globalThis.outer = () => new Error('x').stack;
outer().includes(':');
