const v = new DataView(new ArrayBuffer(8));
v.setInt16(0, 258);
v.getUint8(1) === 2;
