// repair: date-construct
// reason: new Date() without a time is the time.
typeof new Date().getTime() === 'number';
