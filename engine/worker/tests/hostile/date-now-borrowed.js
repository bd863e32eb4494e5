// repair: date-now
// reason: the same function without its object.
const { now } = Date;
typeof now() === 'number';
