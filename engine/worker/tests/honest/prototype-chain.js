function A() {}
function B() {}
B.prototype = Object.create(A.prototype);
B.prototype.constructor = B;
new B() instanceof A && new B().constructor === B;
