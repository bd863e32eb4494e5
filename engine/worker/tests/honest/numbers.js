(0.1 + 0.2).toFixed(2) === '0.30' && Number.parseInt('ff', 16) === 255 && 1_000 === 1e3;
