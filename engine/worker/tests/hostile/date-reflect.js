// repair: date-construct
// reason: Reflect.construct is new by another name.
typeof Reflect.construct(Date, []).getTime() === 'number';
