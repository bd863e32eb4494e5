const o = { a: null };
o?.a?.b === undefined && o.f?.() === undefined;
