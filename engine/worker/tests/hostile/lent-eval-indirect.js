// repair: lender, door
// reason: the intrinsic eval, called otherwise, evaluates in the real global.
const e = eval;
e('typeof harden') === 'undefined';
