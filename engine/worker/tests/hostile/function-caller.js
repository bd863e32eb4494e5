// repair: function-callers
// reason: caller is an accessor two could meet at; it is taken out.
'caller' in Function.prototype;
