// repair: weak-references
// reason: a finalizer runs when the collector likes.
new FinalizationRegistry(() => {}).register({}) === undefined;
