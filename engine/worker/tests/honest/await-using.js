(async () => { let log = ''; { await using a = { async [Symbol.asyncDispose]() { log += 'a';
  } }; } return log === 'a'; })();
