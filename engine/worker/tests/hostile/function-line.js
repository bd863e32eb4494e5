// repair: function-origin
// reason: lineNumber tells where in its file a function stands.
typeof harden.bind().lineNumber !== 'undefined' || typeof (() => {}).lineNumber === 'number';
