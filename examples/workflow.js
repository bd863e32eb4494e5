// An order that waits for people: one async function, suspended between calls that may be weeks
// apart.
//
//   kenvat run examples/workflow.js
//   kenvat call workflow start lamp 3
//   kenvat call workflow status           {"step":"approve","item":"lamp","left":3}
//   kenvat call workflow result           in a third terminal: it waits
//   kenvat call workflow approve ada
//   kenvat call workflow ship 2
//   kenvat call workflow ship 1           and `result` answers
//
// Kill -9 the host between any two of these and start it again: `status` says the same step, and
// the next call goes on in the middle of `fulfil`, with its loop and its local variables. A
// `result` that was waiting is answered all the same, if it is asked again with its `--id`.
//
// Nothing here saves a state or reads one back. The suspended function is the state.

export default () => {
  // What the running order waits for, and how to go on with it. Undefined between orders and
  // from the moment a step is given, so that no step can be given twice.
  let waiting;
  let progress = { step: 'none' };
  let outcome;

  const next = (step, order) =>
    new Promise((resolve) => {
      waiting = { step, resolve };
      progress = { step, ...order };
    });

  const give = (step, value) => {
    if (waiting?.step !== step) {
      throw new Error(`nothing waits for ${step}: the step is ${progress.step}`);
    }
    const { resolve } = waiting;
    waiting = undefined;
    resolve(value);
  };

  // The workflow, from top to bottom.
  const fulfil = async (item, quantity) => {
    let left = quantity;
    const { by, granted } = await next('approve', { item, left });
    if (!granted) {
      return { item, refusedBy: by };
    }
    const parcels = [];
    while (left > 0) {
      const parcel = await next('ship', { item, left, approvedBy: by });
      // More than was ordered is not sent.
      const count = Math.min(parcel, left);
      parcels.push(count);
      left -= count;
    }
    return { item, approvedBy: by, parcels };
  };

  const isCount = (n) => Number.isSafeInteger(n) && n > 0;

  return Far('workflow', {
    start(item, quantity = 1) {
      if (outcome !== undefined && progress.step !== 'done') {
        throw new Error(`an order is under way: the step is ${progress.step}`);
      }
      if (typeof item !== 'string' || !isCount(quantity)) {
        throw new TypeError('start takes an item and how many of it');
      }
      outcome = fulfil(item, quantity).then((result) => {
        progress = { step: 'done', ...result };
        return result;
      });
    },
    approve(by, granted = true) {
      if (typeof by !== 'string' || typeof granted !== 'boolean') {
        throw new TypeError('approve takes a name, and false to refuse');
      }
      give('approve', { by, granted });
    },
    ship(count) {
      if (!isCount(count)) {
        throw new TypeError('ship takes how many are in the parcel');
      }
      give('ship', count);
    },
    status: () => progress,
    // A promise: whoever asks is answered when the order is done.
    result() {
      if (outcome === undefined) {
        throw new Error('no order was started');
      }
      return outcome;
    },
  });
};
