class A extends Array {}
new A(1, 2, 3).map((x) => x) instanceof A;
