const s = new Set([1, 2]);
s.union(new Set([3])).size === 3 && s.isSubsetOf(new Set([1, 2, 3]));
