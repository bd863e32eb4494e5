const f = Float64Array.of(1, 2);
new Uint8Array(f.buffer).length === 16 && f.map((x) => x * 2)[1] === 4;
