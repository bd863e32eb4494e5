[...Iterator.zip([[1, 2], ['a', 'b']])].join() === '1,a,2,b';
