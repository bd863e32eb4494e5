// repair: empty-global
// reason: queueMicrotask is the start compartment's alone.
typeof queueMicrotask === 'function';
