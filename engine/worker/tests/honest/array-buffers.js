const b = new ArrayBuffer(8, { maxByteLength: 16 });
b.resize(12);
b.byteLength === 12 && b.transfer().byteLength === 12;
