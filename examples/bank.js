// Money as objects: a purse is a thing one holds, and only a mint makes money.
//
//   kenvat run examples/bank.js
//   kenvat call bank open alice 100
//   kenvat call bank open bob
//   kenvat call bank transfer alice bob 30     {"from":70,"to":30}
//   kenvat call bank balance alice             70
//   kenvat call bank total                     100
//
// After kill -9, at whatever moment, and a new start: `total` is 100 still. A transfer whose answer
// was seen has happened, and none has happened by half.
//
// The accounts have names because object references do not cross the gateway yet. Inside, each is a
// real purse, and nothing but the purses and their mint knows how to move money.

// A mint for one currency. Whoever has it can make money; whoever has a purse can only move it.
const makeMint = (currency) => {
  // From a purse of this mint to the function that takes money out of it. Purses of another mint,
  // and objects that only look like purses, are not in it.
  const takers = new WeakMap();

  const makePurse = (initial) => {
    let balance = amountOf(initial);
    const take = (amount) => {
      balance -= amount;
    };

    const purse = Far(`${currency} purse`, {
      balance: () => balance,
      makePurse: () => makePurse(0),
      deposit(given, source) {
        const amount = amountOf(given);
        const takeFromSource = takers.get(source);
        if (takeFromSource === undefined) {
          throw new TypeError(`that is no ${currency} purse of this mint`);
        }
        // Everything that can go wrong is asked first. Then two assignments, which cannot.
        if (source.balance() < amount) {
          throw new RangeError(`not enough ${currency}: ${source.balance()} of ${amount}`);
        }
        if (source !== purse) {
          amountOf(balance + amount);
        }
        takeFromSource(amount);
        balance += amount;
      },
    });
    takers.set(purse, take);
    return purse;
  };

  return Far(`${currency} mint`, { makePurse });
};

// An amount is a whole number that a double holds exactly; anything else throws here.
const amountOf = (given) => {
  if (typeof given !== 'number') {
    throw new TypeError(`an amount is a number, not a ${typeof given}`);
  }
  Nat(given);
  return given;
};

export default () => {
  const mint = makeMint('coin');
  const accounts = new Map();

  const purseOf = (name) => {
    const purse = accounts.get(name);
    if (purse === undefined) {
      throw new ReferenceError(`no account is called ${String(name)}`);
    }
    return purse;
  };

  return Far('bank', {
    open(name, balance = 0) {
      if (typeof name !== 'string' || name === '') {
        throw new TypeError('an account has a name');
      }
      if (accounts.has(name)) {
        throw new RangeError(`there is an account ${name} already`);
      }
      const purse = mint.makePurse(balance);
      accounts.set(name, purse);
      return purse.balance();
    },
    transfer(from, to, amount) {
      const source = purseOf(from);
      const target = purseOf(to);
      target.deposit(amount, source);
      return { from: source.balance(), to: target.balance() };
    },
    balance: (name) => purseOf(name).balance(),
    total() {
      let sum = 0;
      for (const purse of accounts.values()) {
        sum += purse.balance();
      }
      return amountOf(sum);
    },
  });
};
