// repair: prepare-stack-trace
// reason: the setter keeps what it is given, for anybody to get.
Error.prepareStackTrace = 'left';
new Compartment().evaluate('Error.prepareStackTrace') === 'left';
