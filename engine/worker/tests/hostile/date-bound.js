// repair: date-construct
// reason: a bound constructor is the same constructor.
typeof new (Date.bind())().getTime() === 'number';
