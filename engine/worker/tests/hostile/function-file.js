// repair: function-origin
// reason: fileName tells what file a function comes from.
typeof (() => {}).fileName === 'string';
