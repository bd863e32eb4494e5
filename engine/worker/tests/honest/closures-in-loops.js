const fs = [];
for (let i = 0; i < 3; i += 1) fs.push(() => i);
fs.map((f) => f()).join() === '0,1,2';
