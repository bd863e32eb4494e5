// repair: empty-global
// reason: InternalError is no global of compartments.
typeof InternalError === 'function';
