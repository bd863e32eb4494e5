// repair: lender, door
// reason: the scope lends the intrinsic eval for the moment of compiling; kept, it would see the
// variables of whoever calls it by name.
const hidden = 5;
eval('typeof hidden') === 'number';
