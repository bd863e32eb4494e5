// repair: math-random
// reason: the same function without its object.
const { random } = Math;
random() < 1;
