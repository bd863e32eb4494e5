const point = def({ x: () => Nat(1) });
Object.isFrozen(point) && point.x() === 1;
