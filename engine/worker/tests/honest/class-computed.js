const k = 'm';
class A { [k + 1]() { return 2; } static async *[Symbol.asyncIterator]() {} }
new A().m1() === 2;
