(async () => { const c = new Compartment({ __options__: true, modules: {
  a: 'import { b } from "b"; export default b + 1', b: 'export const b = 1' } });
  return (await c.import('a')).namespace.default === 2; })();
