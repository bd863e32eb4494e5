// repair: Function-constructor, door
// reason: code of the real global may be sloppy: its functions get the real global as `this`.
const C = (() => {}).constructor;
const found = C('return this')();
found !== undefined && found !== globalThis;
