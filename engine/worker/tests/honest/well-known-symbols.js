const o = { [Symbol.toPrimitive]: (hint) => (hint === 'number' ? 5 : 'five') };
+o === 5 && `${o}` === 'five';
