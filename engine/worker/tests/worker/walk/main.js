// The program of engine/worker/tests/worker/realm_walk.rs: the scripts beside this one come as arguments.

// What every compartment has its own of.
const OWN = ['globalThis', 'eval', 'Function', 'Compartment'];

const made = (text) => new Compartment().evaluate(text);

// Roots of two compartments, one of them new, and of what is made in them.
const pair = async (forms, a = new Compartment()) => {
  const b = new Compartment();
  const [ofA, ofB] = [await a.evaluate(forms)(), await b.evaluate(forms)()];
  const roots = [['globalThis', a.globalThis, b.globalThis]];
  for (const name of Object.keys(ofA)) roots.push([`<${name}>`, ofA[name], ofB[name]]);
  return { a, b, roots };
};

export default (powers) => {
  const text = `kenvat-${'mark'}`;
  const marked = new Set();
  let found = [];
  let chosen;
  const before = new Compartment();

  return {
    async walk(walk, forms) {
      const { b, roots } = await pair(forms);
      for (const name of Reflect.ownKeys(globalThis)) {
        const other = OWN.includes(name) ? b.globalThis : globalThis;
        roots.push([`start.${name}`, globalThis[name], other[name]]);
      }
      roots.push(['start', globalThis, b.globalThis], ['powers', powers, powers]);
      const [one, two] = [await eval(forms)(), await eval(forms)()];
      for (const name of Object.keys(one)) {
        roots.push([`start<${name}>`, one[name], two[name], true]);
      }
      const { items, faults } = made(walk)(roots);
      const lines = items.map(({ path, shared }) => `${shared ? 'shared' : 'own'} ${path}`);
      return { lines, faults };
    },
    // Chooses who leaves marks, or who looks for them: a compartment made before any was left, or
    // a new one. Gives how many objects there are to try.
    async choose(walk, forms, marker, early) {
      const { a, roots } = await pair(forms, early ? before : new Compartment());
      chosen = { ...a.evaluate(marker), items: made(walk)(roots).items };
      found = [];
      return chosen.items.length;
    },
    leave: (from, to) => chosen.leave(chosen.items.slice(from, to), marked, text),
    look: (from, to) => chosen.look(chosen.items, from, to, marked, text, found),
    found: () => found,
  };
};
