// repair: shared-memory
// reason: shared memory and a counting loop make a clock.
new SharedArrayBuffer(8).byteLength === 8;
