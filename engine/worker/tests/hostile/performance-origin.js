// repair: performance
// reason: performance.timeOrigin tells when the process began.
typeof performance.timeOrigin === 'number';
