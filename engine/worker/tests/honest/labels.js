let n = 0;
outer: for (const i of [1, 2, 3]) for (const j of [1, 2]) { if (j === 2) continue outer; n += i; }
n === 6;
