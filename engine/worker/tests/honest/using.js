let log = '';
{ using a = { [Symbol.dispose]() { log += 'a'; } }; using b = { [Symbol.dispose]() {
  log += 'b'; } }; }
log === 'ba';
