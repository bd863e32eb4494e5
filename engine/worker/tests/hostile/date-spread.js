// repair: date-construct
// reason: an empty list of arguments is none.
typeof new Date(...[]).getTime() === 'number';
