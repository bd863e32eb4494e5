// repair: function-origin
// reason: columnNumber tells even more.
typeof (() => {}).columnNumber === 'number';
