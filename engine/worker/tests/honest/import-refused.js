(async () => { try { await import('x'); } catch (e) {
  return e.message.includes('was not given'); } })();
