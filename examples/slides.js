// With infix !, as printed: the programs of "2-Phase Commit Among Strangers" (Miller, Van Cutsem,
// Close), the talk about Dr. SES, in one vat: money, and an exchange of money for stock that nobody
// need be trusted with.
//
//   kenvat run examples/slides.js
//   kenvat call slides trade 10 7         {"alice":{"money":90,"stock":7},"bob":{…}}
//   kenvat call slides trade 1000 1       an error: alice has not so much, and nothing has moved
//   kenvat call slides purses             what both have
//   kenvat call slides stuck              "alice cancels": bob's stock never comes
//
// After kill -9 at whatever moment, `purses` finds what the last answered trade left.
//
// They stand as printed, with four corrections, each marked where it is: braces and commas lost on
// the slide; `deposit` waits for its source, as in the paper; `Q.race` takes an array; `goodP` for
// `good`. `Q.all`, `Q.race` and `Q.join`, which the slides define, are the vat's own.

function bank() {
  var amp = WeakMap();
  return function mint(balance) {
    var purse = def({
      getBalance: function() { return balance; },
      makePurse: function() { return mint(0); },
      // Correction: the source may be a promise (`amp.get(src)(Nat(amount))` on the slide).
      deposit: function(amount, srcP) {
        return Q(srcP).when(function(src) {
          Nat(balance + amount);
          amp.get(src)(Nat(amount));
          balance += amount;
        });
      }
    }); // Correction: this was `},` on the slide, and braces too many came after `mint`.
    function decr(amount) {
      balance = Nat(balance - amount);
    }
    amp.set(purse, decr);
    return purse;
  };
}

// Distributed Secure Currency: a customer, and a seller who waits for the money.
function buy(myPurse, bobP, desc, price) {
  var paymentP = myPurse ! makePurse();
  paymentP ! deposit(price, myPurse);
  var goodP = bobP ! buy(desc, paymentP);
  return goodP;
}

function makeSeller(myPurse, price, goodP) {
  return def({
    buy: function(desc, paymentP) {
      return Q(paymentP).when(function(p) {
        return Q(myPurse ! deposit(price, p)).when(function(_) {
          return goodP; // Correction: `good` on the slide.
        });
      });
    }
  });
}

function makePurseMaker(purse) {
  return function makePurse() { return purse.makePurse(); };
}

function makeTransfer(makeEscrowPurseP) {

  return function transfer(decisionP, srcPurseP, dstPurseP, amount) {
    var escrowPurseP = makeEscrowPurseP ! ();

    Q(decisionP).when(function(_) { // setup phase 2
      dstPurseP ! deposit(amount, escrowPurseP);
    }, function(reason) {
      srcPurseP ! deposit(amount, escrowPurseP);
    });

    return escrowPurseP ! deposit(amount, srcPurseP); // phase 1
  };
}

function failOnly(cancelP) { return Q(cancelP).when(function(cancel) { throw cancel; }); }

function exchange(argA, argB) { // argA from Alice, argB from Bob
  var transferMoney = makeTransfer(Q.join(argA.makeMoneyEscrowP,
                                          argB.makeMoneyEscrowP));
  var transferStock = makeTransfer(Q.join(argB.makeStockEscrowP,
                                          argA.makeStockEscrowP));
  var d = Q.defer();
  d.resolve(Q.race([Q.all([
      transferMoney(d.promise, argA.moneySrcP, argB.moneyDstP, argB.moneyNeeded),
      transferStock(d.promise, argB.stockSrcP, argA.stockDstP, argA.stockNeeded)]),
      failOnly(argA.cancelP), failOnly(argB.cancelP)]));
  return d.promise;
}

// The players: two banks, and a purse of each for Alice and for Bob.
export default function () {
  var mintMoney = bank();
  var mintStock = bank();
  var alice = { money: mintMoney(100), stock: mintStock(0) };
  var bob = { money: mintMoney(0), stock: mintStock(100) };
  var makeMoneyEscrow = makePurseMaker(alice.money);
  var makeStockEscrow = makePurseMaker(bob.stock);

  function has(one) {
    return { money: one.money.getBalance(), stock: one.stock.getBalance() };
  }
  function purses() { return { alice: has(alice), bob: has(bob) }; }

  // What each player says to the exchange agent.
  function args(stockSrcP, cancelAP, moneyNeeded, stockNeeded) {
    var shared = { makeMoneyEscrowP: makeMoneyEscrow, makeStockEscrowP: makeStockEscrow };
    return [
      { ...shared, moneySrcP: alice.money, stockDstP: alice.stock, stockNeeded, cancelP: cancelAP },
      { ...shared, stockSrcP, moneyDstP: bob.money, moneyNeeded, cancelP: Q.defer().promise },
    ];
  }

  // Phase 2 is sends that nobody waits for; a while later everything is where it belongs.
  function settled() { return Q.delay(10).then(purses); }

  return {
    trade: function(money, stock) {
      var [a, b] = args(bob.stock, Q.defer().promise, money, stock);
      return exchange(a, b).then(settled, function(reason) {
        return settled().then(function(_) { throw reason; });
      });
    },
    // Bob's stock is a promise that stays one, until Alice has had enough.
    stuck: function() {
      var [a, b] = args(Q.defer().promise, Q.delay(5000, new Error('alice cancels')), 10, 7);
      return exchange(a, b).then(function(_) { return 'done'; }, function(reason) {
        return settled().then(function(_) { return reason.message; });
      });
    },
    buy: function(price) {
      var bobP = Q(makeSeller(bob.money, price, 'a book'));
      return buy(alice.money, bobP, 'book', price);
    },
    // Bob never answers; the slide's time runs out.
    hurry: function() {
      var bob = def({ foo: function(_) { return Q.defer().promise; } });
      // Correction: the slide passes the two apart and not in an array.
      var answerP = Q.race([bob ! foo('carol'),
        Q.delay(5000, Q.reject(new Error("timeout")))]);
      return answerP.then(null, function(reason) { return reason.message; });
    },
    purses: purses,
  };
}
