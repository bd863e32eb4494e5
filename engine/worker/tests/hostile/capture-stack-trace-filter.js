// repair: capture-stack-trace
// reason: with a function to start from it tells who called that.
function f() { const o = {}; Error.captureStackTrace(o, f); return o.stack; }
function caller() { return f(); }
caller().includes('caller');
