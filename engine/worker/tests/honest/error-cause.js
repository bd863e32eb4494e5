try { throw new Error('a', { cause: 5 }); } catch (e) { e.cause === 5; }
