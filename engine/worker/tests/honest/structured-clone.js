const a = { x: [1n, new Uint8Array([1])] };
const b = structuredClone(a);
b.x[0] === 1n && b.x[1] !== a.x[1] && b.x[1][0] === 1;
