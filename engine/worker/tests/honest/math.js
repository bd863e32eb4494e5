Math.hypot(3, 4) === 5 && Math.clz32(1) === 31 && Math.sumPrecise([0.1, 0.2, -0.3]) < 1e-16;
