const add = new Function('a', 'b', 'return a + b');
add(2, 3) === 5 && add instanceof Function && add.name === 'anonymous';
