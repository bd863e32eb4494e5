const a = [1, 2, 3, 4];
a.copyWithin(0, 2).with(0, 9).join() === '9,4,3,4';
