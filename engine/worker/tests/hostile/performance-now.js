// repair: performance
// reason: performance.now tells the time to the microsecond.
typeof performance.now() === 'number';
