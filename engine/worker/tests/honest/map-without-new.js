const m = Map();
m.set(1, 2);
m.get(1) === 2 && m instanceof Map;
