let done = false;
function* g() { try { yield 1; } finally { done = true; } }
for (const x of g()) break;
done;
