// repair: math-random
// reason: a child compartment has the same Math.
new Compartment().evaluate('Math.random() >= 0');
