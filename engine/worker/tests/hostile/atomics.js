// repair: shared-memory
// reason: Atomics can wait, and so measure.
Atomics.add(new Int32Array(1), 0, 1) === 0;
