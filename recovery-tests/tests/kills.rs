//! Real kills: whatever is killed whenever, nothing answered is lost and nothing runs twice.
//!
//! Several clients ask through the control socket; hosts and workers are killed with SIGKILL right
//! after the nth request was sent, by a seeded plan; clients ask again with the same ids. What
//! every answer must be is known beforehand. `KENVAT_KILLS=n` kills more, `KENVAT_SEED=s` with that
//! plan.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use kenvat_recovery_tests::chance::Chance;
use kenvat_recovery_tests::process::{Control, HostProcess, Store};
use serde_json::{Value, json};

/// Clients at a time.
const CLIENTS: u64 = 3;
/// Kills of a run.
const KILLS: u64 = 240;
/// Requests between two kills, at most.
const GAP_MAX: u64 = 9;
/// Turns of an empty loop before a kill, at most: so that it meets the turn at any of its stages.
const SPINS_MAX: u64 = 200_000;

/// A ledger: what each client noted, in order, and a map of its own for each.
const LEDGER: &str = "\
export default () => {
  const notes = new Map();
  const maps = new Map();
  const of = (all, client, make) => {
    if (!all.has(client)) {
      all.set(client, make());
    }
    return all.get(client);
  };
  return Far('ledger', {
    note(client, n) {
      const list = of(notes, client, () => []);
      list.push(n);
      console.log(`${client} ${n}`);
      return list.length;
    },
    put(client, key, value) {
      const map = of(maps, client, () => new Map());
      const old = map.get(key);
      map.set(key, value);
      return old ?? null;
    },
    noted: (client) => of(notes, client, () => []),
    all: (client) => [...of(maps, client, () => new Map())].sort(),
  });
};
";

const COUNTER: &str = "\
export default () => {
  let n = 0;
  return Far('counter', { incr: () => (n += 1), read: () => n });
};
";

/// The host that serves now, and what is to be killed next.
struct Supervisor {
    store: Store,
    host: Mutex<HostProcess>,
    /// Requests sent so far, by all clients.
    sent: AtomicU64,
    plan: Mutex<Plan>,
}

/// Which kill comes after how many requests.
struct Plan {
    chance: Chance,
    kills_left: u64,
    next_at: u64,
    host_kills: u64,
    worker_kills: u64,
}

/// What the next kill is.
struct Kill {
    spins: u64,
    /// The host, or the nth of its workers.
    worker: Option<usize>,
}

impl Plan {
    fn new(seed: u64, kills: u64) -> Plan {
        let chance = Chance::new(seed);
        Plan {
            chance,
            kills_left: kills,
            next_at: 5,
            host_kills: 0,
            worker_kills: 0,
        }
    }

    /// Whether the request just sent is one to kill after.
    fn due(&mut self, sent: u64) -> Option<Kill> {
        if self.kills_left == 0 || sent < self.next_at {
            return None;
        }
        self.kills_left -= 1;
        self.next_at = sent + 1 + self.chance.below(GAP_MAX);
        let worker = self.chance.one_in(2).then(|| self.chance.below(7) as usize);
        Some(Kill {
            spins: self.chance.below(SPINS_MAX),
            worker,
        })
    }
}

impl Supervisor {
    fn host(&self) -> MutexGuard<'_, HostProcess> {
        self.host
            .lock()
            .expect("no client panicked while it held the host")
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan
            .lock()
            .expect("no client panicked while it held the plan")
    }

    /// A connection to the host that serves now, waiting for the one that is being started.
    fn connect(&self) -> Control {
        self.host().connect()
    }

    /// Counts a request as sent, and kills where that is due. True where the host was replaced.
    fn sent(&self) -> bool {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(Kill { spins, worker }) = self.plan().due(sent) else {
            return false;
        };
        (0..spins).for_each(|_| std::hint::spin_loop());
        let mut host = self.host();
        if worker.is_some_and(|nth| host.kill_worker(nth)) {
            self.plan().worker_kills += 1;
            return false;
        }
        // Also where no worker runs just now.
        host.kill();
        *host = self.store.serve();
        self.plan().host_kills += 1;
        true
    }

    fn is_over(&self) -> bool {
        self.plan().kills_left == 0
    }
}

/// One client, what it was answered, and what the ledger must therefore say.
struct Client<'a> {
    name: String,
    supervisor: &'a Supervisor,
    control: Control,
    requests: u64,
    counted: Vec<u64>,
    noted: u64,
    map: BTreeMap<String, u64>,
    checks: u64,
}

impl<'a> Client<'a> {
    fn new(number: u64, supervisor: &'a Supervisor) -> Client<'a> {
        Client {
            name: format!("client{number}"),
            supervisor,
            control: supervisor.connect(),
            requests: 0,
            counted: Vec::new(),
            noted: 0,
            map: BTreeMap::new(),
            checks: 0,
        }
    }

    /// Asks until there is an answer, always under the same id. Whether a host was lost over it.
    fn ask(&mut self, vat: &str, method: &str, args: &Value) -> (Value, bool) {
        self.requests += 1;
        let id = format!("{}-{}", self.name, self.requests);
        let mut lost = false;
        loop {
            let sent = self.control.send_call(vat, method, args, &id);
            lost |= self.supervisor.sent();
            match sent.and_then(|()| self.control.receive()) {
                Ok(Ok(value)) => return (value, lost),
                Ok(Err((name, message))) => panic!("{id} {method}: {name}: {message}"),
                Err(_) => {
                    lost = true;
                    self.control = self.supervisor.connect();
                }
            }
        }
    }

    fn live(&mut self, chance: &mut Chance) {
        while !self.supervisor.is_over() {
            let lost = match chance.below(3) {
                0 => self.count(),
                1 => self.note(),
                _ => self.put(chance.below(20), chance.below(1_000_000)),
            };
            if lost {
                self.compare();
            }
        }
        self.compare();
    }

    fn count(&mut self) -> bool {
        let (value, lost) = self.ask("counter", "incr", &json!([]));
        self.counted
            .push(value.as_u64().expect("a counter answers numbers"));
        lost
    }

    fn note(&mut self) -> bool {
        let (value, lost) = self.ask("ledger", "note", &json!([self.name, self.noted]));
        self.noted += 1;
        assert_eq!(
            value,
            json!(self.noted),
            "{}: noted once, in order",
            self.name
        );
        lost
    }

    fn put(&mut self, key: u64, value: u64) -> bool {
        let key = format!("k{key}");
        let (old, lost) = self.ask("ledger", "put", &json!([self.name, key, value]));
        let expected = self.map.insert(key, value);
        assert_eq!(old, json!(expected), "{}: what was there before", self.name);
        lost
    }

    /// The vat's state is what this client's answers say.
    fn compare(&mut self) {
        self.checks += 1;
        let (noted, _) = self.ask("ledger", "noted", &json!([self.name]));
        assert_eq!(
            noted,
            json!((0..self.noted).collect::<Vec<_>>()),
            "{}",
            self.name
        );
        let (all, _) = self.ask("ledger", "all", &json!([self.name]));
        let expected: Vec<_> = self.map.iter().collect();
        assert_eq!(all, json!(expected), "{}", self.name);
    }
}

#[test]
fn nothing_answered_is_lost_and_nothing_runs_twice() {
    let seed = number("KENVAT_SEED").unwrap_or(1);
    let kills = number("KENVAT_KILLS").unwrap_or(KILLS);
    eprintln!("{kills} kills by the plan of seed {seed}");
    let store = Store::new();
    store.deploy("counter", &store.source("counter.js", COUNTER));
    store.deploy("ledger", &store.source("ledger.js", LEDGER));
    let host = Mutex::new(store.serve());
    let plan = Mutex::new(Plan::new(seed, kills));
    let supervisor = Supervisor {
        store,
        host,
        sent: AtomicU64::new(0),
        plan,
    };

    let clients: Vec<Client<'_>> = std::thread::scope(|scope| {
        let supervisor = &supervisor;
        let live = |number| {
            move || {
                let mut client = Client::new(number, supervisor);
                client.live(&mut Chance::new(seed * 1_000 + number));
                client
            }
        };
        let threads: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(live(number)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|client| client.expect("its panic says why"))
            .collect()
    });

    judge(&supervisor, &clients);
    let plan = supervisor.plan();
    let (hosts, workers) = (plan.host_kills, plan.worker_kills);
    let sent = supervisor.sent.load(Ordering::Relaxed);
    eprintln!("{sent} requests sent, {hosts} hosts and {workers} workers killed");
    assert!(
        hosts * 4 > kills && workers * 4 > kills,
        "both kinds were killed"
    );
}

/// What must hold in the end, over all clients.
fn judge(supervisor: &Supervisor, clients: &[Client<'_>]) {
    let mut control = supervisor.connect();
    let mut ask = |vat: &str, method: &str, args: Value| {
        let id = format!("judge-{method}-{args}");
        let answer = control
            .call(vat, method, &args, &id)
            .expect("nobody kills this host");
        answer.unwrap_or_else(|error| panic!("{method}: {error:?}"))
    };
    let mut counted: Vec<u64> = clients
        .iter()
        .flat_map(|client| client.counted.clone())
        .collect();
    counted.sort_unstable();
    let expected: Vec<u64> = (1..=counted.len() as u64).collect();
    assert_eq!(
        counted, expected,
        "each number was answered once, none is missing"
    );
    assert_eq!(ask("counter", "read", json!([])), json!(counted.len()));
    for client in clients {
        let noted = ask("ledger", "noted", json!([client.name]));
        assert_eq!(
            noted,
            json!((0..client.noted).collect::<Vec<_>>()),
            "{}",
            client.name
        );
        assert!(client.checks > 2, "{} looked at its state", client.name);
    }
    let log = supervisor.store.ok(&["logs", "ledger"]);
    for client in clients {
        let of_client = |line: &&str| line.contains(&format!("{} ", client.name));
        let lines: Vec<&str> = log.lines().filter(of_client).collect();
        assert_eq!(
            lines.len() as u64,
            client.noted,
            "one line a note of {}",
            client.name
        );
    }
    let verified: Value =
        serde_json::from_str(&supervisor.store.ok(&["--json", "verify"])).expect("JSON");
    assert_eq!(verified["damages"], json!([]));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
