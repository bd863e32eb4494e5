// repair: prepare-stack-trace
// reason: prepareStackTrace hands over the function objects of all callers.
let sites;
Error.prepareStackTrace = (error, given) => { sites = given; return ''; };
new Error('x');
sites !== undefined && typeof sites[0].getFunction() === 'function';
