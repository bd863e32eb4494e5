let log = '';
const s = new DisposableStack();
s.defer(() => { log += 1; });
s.defer(() => { log += 2; });
s.dispose();
log === '21';
