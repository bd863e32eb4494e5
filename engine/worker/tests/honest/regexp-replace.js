'a1b2'.replace(/\d/g, (d) => d * 2) === 'a2b4' && 'aXb'.split(/x/i).join() === 'a,b';
