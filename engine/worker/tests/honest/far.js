const f = Far('purse', { balance: () => 5 });
f.balance() === 5 && `${f}` === '[object Alleged: purse]';
