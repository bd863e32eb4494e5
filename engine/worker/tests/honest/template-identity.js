const f = (s) => s;
const g = () => f`x`;
g() === g() && Object.isFrozen(g());
