// repair: math-random
// reason: Math.random draws from the engine's seed, which every compartment shares.
typeof Math.random() === 'number';
