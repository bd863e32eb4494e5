// repair: stack-trace-limit
// reason: the setter keeps what it is given, for anybody to get.
Error.stackTraceLimit = 'left';
new Compartment().evaluate('Error.stackTraceLimit') === 'left';
