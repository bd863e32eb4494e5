// repair: stack-trace-limit
// reason: an object left there is called when a stranger makes an error.
let seen = 0;
Error.stackTraceLimit = { valueOf() { seen += 1; return 1; } };
new Compartment().evaluate('new Error(1)');
seen > 0;
