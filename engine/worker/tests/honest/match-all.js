[...'a1b2'.matchAll(/([a-z])(\d)/g)].map((m) => m[1] + m[2]).join() === 'a1,b2';
