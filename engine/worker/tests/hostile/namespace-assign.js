// repair: module-namespace
// reason: a namespace is shared by all who import it; a property added would be a mailbox.
(async () => {
  const c = new Compartment({ __options__: true, modules: { a: 'export const x = 1' } });
  const { namespace } = await c.import('a');
  try { namespace.mark = 'left'; } catch {}
  return (await c.import('a')).namespace.mark === 'left';
})();
