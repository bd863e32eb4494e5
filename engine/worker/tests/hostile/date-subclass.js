// repair: date-construct
// reason: a subclass passes nothing on and gets the time.
class D extends Date { constructor() { super(); } }
typeof new D().getTime() === 'number';
