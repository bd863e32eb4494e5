// repair: module-namespace
// reason: an export cannot be taken from others.
(async () => {
  const c = new Compartment({ __options__: true, modules: { a: 'export const x = 1' } });
  const { namespace } = await c.import('a');
  try { Object.setPrototypeOf(namespace, { mark: 'left' }); } catch {}
  return (await c.import('a')).namespace.mark === 'left';
})();
