const { groups } = /(?<y>\d{4})-(?<m>\d\d)/.exec('2024-05');
groups.y + groups.m === '202405';
