// Who comes to the party: a script of the kind NodeVMS had in 2017, with its answers in a Map.
//
//   kenvat run examples/rsvp.js
//   kenvat call rsvp RSVP ada true
//   kenvat call rsvp RSVP bob false 'out of town'
//   kenvat call rsvp list
//
// After kill -9 and a new start `list` names everybody whose RSVP was answered, with the last thing
// each of them said.
//
// The methods are those of `exports`. The guest's name is an argument; where a vat is told who
// calls it, it will be `System.caller.id`.

const rsvps = new Map();

exports.RSVP = async (name, isAttending, reason) => {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError('RSVP needs the name of the guest');
  }
  if (typeof isAttending !== 'boolean') {
    throw new TypeError('RSVP needs true or false: does the guest come?');
  }
  rsvps.set(name, { who: name, isAttending, reason: reason ?? null });
};

exports.list = () => [...rsvps.values()];
