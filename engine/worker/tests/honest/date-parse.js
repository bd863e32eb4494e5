Date.parse('1970-01-01T00:00:01Z') === 1000 && new Date(1000).getSeconds() === 1;
