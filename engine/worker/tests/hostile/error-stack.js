// repair: error-stack
// reason: a stack names the functions of whoever called.
function secret() { return new Error('x').stack; }
secret().includes('secret');
