// repair: prepare-stack-trace
// reason: one compartment would be called whenever another makes an error.
let seen = 0;
Error.prepareStackTrace = () => { seen += 1; return ''; };
new Compartment().evaluate('new Error(1)');
seen > 0;
