// repair: function-callers
// reason: arguments of a function is another's business.
'arguments' in Function.prototype;
