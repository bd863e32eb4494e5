// repair: capture-stack-trace
// reason: captureStackTrace writes the callers' names into any object.
const o = {};
Error.captureStackTrace(o);
typeof o.stack === 'string' && o.stack !== '';
