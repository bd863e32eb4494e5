// repair: date-construct
// reason: a date made with a time leads to the constructor.
typeof new (new Date(0).constructor)().getTime() === 'number';
