Uint8Array.fromBase64('AQI=').toHex() === '0102';
