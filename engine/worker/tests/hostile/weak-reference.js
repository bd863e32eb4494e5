// repair: weak-references
// reason: a weak reference tells what the collector does.
typeof new WeakRef({}).deref === 'function';
