// repair: date-construct
// reason: Date() is the time as text.
typeof Date() === 'string';
