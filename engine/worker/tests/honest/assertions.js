assert(true);
try { assert.fail('x'); } catch (e) { e.message === 'x'; }
