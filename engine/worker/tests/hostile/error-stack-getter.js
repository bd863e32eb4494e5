// repair: error-stack
// reason: the getter can be taken from the prototype and applied.
const { get } = Object.getOwnPropertyDescriptor(Error.prototype, 'stack');
get.call(new Error('x')) !== '';
