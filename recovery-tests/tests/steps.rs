//! A host killed while it undoes, folds, writes a large delta or answer beside the journal, sleeps,
//! wakes, deploys, terminates or stops comes back whole: each is done once in peace with its steps
//! written down, and then again and again, killed before another one of them each time.
//!
//! A step is a system call that changes a file or tells somebody something (`process::tracer`), so
//! no state of the disk that a kill can leave is missed, as far as one thread makes it. Where
//! running processes may not be traced the test says so and does nothing.

use std::fs;

use kenvat_recovery_tests::process::{
    Asked, Control, HostProcess, Lost, Step, Store, Tracer, may_attach, not_tested, steps,
};
use serde_json::{Value, json};

const KEEPER: &str = "\
export default (powers) => {
  let n = 0;
  let kept = '';
  let told = 0;
  let held = new Uint8Array(5 << 20).fill(255);
  return Far('keeper', {
    incr: () => (n += 1),
    read: () => n,
    keep(text) {
      kept = text;
      return kept.length;
    },
    fill(value) {
      held = new Uint8Array(5 << 20).fill(value);
      return value;
    },
    held: () => held[0],
    tell(value) {
      told += 1;
      console.log('told', told);
      held = new Uint8Array(5 << 20).fill(value);
      return String(value).padEnd(5 << 20, 'x');
    },
    told: () => told,
    isWhole: () => held.every((byte) => byte === held[0]),
    regret() {
      n = -1000;
      powers.abort('changed my mind');
    },
  });
};
";

/// One store through all kills of an operation, and what its counter must say.
struct World {
    store: Store,
    host: HostProcess,
    counted: u64,
    asked: u64,
}

/// An operation: what is made ready before it, the operation itself, and what must hold after the
/// kill. All get the number of the step.
struct Operation {
    name: &'static str,
    /// Whether threads it starts are to be killed in, too: they are where no process is started.
    follow: bool,
    prepare: fn(&mut World, u32),
    act: fn(&mut World, u32) -> Result<(), Lost>,
    judge: fn(&mut World, u32),
    /// Fewer kills than this, and the operation was not met.
    kills_min: u32,
}

impl World {
    fn new() -> World {
        let store = Store::new();
        let source = store.source("keeper.js", KEEPER);
        store.deploy("keeper", &source);
        let host = store.serve();
        World {
            store,
            host,
            counted: 0,
            asked: 0,
        }
    }

    fn control(&self) -> Result<Control, Lost> {
        Control::connect(&self.store.dir())
    }

    fn ask(&self, ask: &Value) -> Result<Asked, Lost> {
        self.control()?.ask(ask)
    }

    /// A call under a new id, to a host that nobody kills.
    fn call(&mut self, vat: &str, method: &str, args: &Value) -> Asked {
        self.asked += 1;
        let id = format!("calm-{}", self.asked);
        let mut control = self.control().expect("it serves");
        control
            .call(vat, method, args, &id)
            .expect("nobody kills it")
    }

    /// The vat that is always there counts on where it was.
    fn count(&mut self) {
        self.counted += 1;
        assert_eq!(
            self.call("keeper", "incr", &json!([])),
            Ok(json!(self.counted))
        );
    }

    fn names(&self) -> Vec<String> {
        let vats = self
            .ask(&json!("list"))
            .expect("it serves")
            .expect("a list");
        let names = vats.as_array().expect("a list").iter();
        names
            .map(|vat| vat["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    fn deploy_ask(&self, name: &str) -> Value {
        let files = json!([["keeper.js", KEEPER]]);
        json!({"deploy": {"name": name, "entry": "keeper.js", "files": files, "give": []}})
    }

    fn serves(&self) -> bool {
        self.ask(&json!("list")).is_ok()
    }

    /// Carries an operation out in peace; the steps it took.
    fn look_at(&mut self, operation: &Operation) -> Vec<Step> {
        (operation.prepare)(self, 0);
        let record = self.store.dir().with_file_name("steps");
        let tracer = Tracer::record(self.host.pid(), operation.follow, &record);
        let done = (operation.act)(self, 0);
        // One that ended has been let go of; of one that runs on, some step may be under way.
        match self.serves() {
            true => tracer.finish(),
            false => drop(tracer),
        }
        self.go_on();
        assert!(done.is_ok(), "{}", operation.name);
        (operation.judge)(self, 0);
        steps(&fs::read_to_string(record).expect("strace wrote it"))
    }

    /// Kills the host at each step of an operation; how many there are, and how many it reached.
    fn walk(&mut self, operation: &Operation) -> (u32, u32) {
        let (mut round, mut killed) = (0, 0);
        for step in self.look_at(operation) {
            round += 1;
            (operation.prepare)(self, round);
            let tracer = Tracer::kill_at(self.host.pid(), operation.follow, &step);
            // What it was told does not matter: what is so is judged below.
            let _ = (operation.act)(self, round);
            self.serves();
            drop(tracer);
            killed += u32::from(self.go_on());
            (operation.judge)(self, round);
            self.count();
        }
        (round, killed)
    }

    /// A host that serves, be it the one before. Whether that was killed.
    fn go_on(&mut self) -> bool {
        if self.serves() {
            return false;
        }
        let killed = !self.host.ended_well();
        self.host = self.store.serve();
        killed
    }
}

fn nothing(_: &mut World, _: u32) {}

fn name_of(step: u32) -> String {
    format!("vat{step}")
}

fn ask_and_forget(world: &World, ask: &Value) -> Result<(), Lost> {
    world.ask(ask).map(drop)
}

fn regret(world: &mut World, step: u32) -> Result<(), Lost> {
    let mut control = world.control()?;
    let id = format!("regret-{step}");
    control.call("keeper", "regret", &json!([]), &id).map(drop)
}

/// Asked again under its id it has one outcome, and it changed nothing.
fn judge_regret(world: &mut World, step: u32) {
    let id = format!("regret-{step}");
    let mut control = world.control().expect("it serves");
    let mut ask = || {
        control
            .call("keeper", "regret", &json!([]), &id)
            .expect("nobody kills it")
            .expect_err("it is always undone")
    };
    let (first, second) = (ask(), ask());
    assert!(first.1.contains("changed my mind"), "{first:?}");
    assert_eq!(first, second);
}

/// More than the journal holds before it is folded, and then an end, which waits for the fold.
fn fold(world: &mut World, step: u32) -> Result<(), Lost> {
    for n in 0..6 {
        let text = char::from(b'a' + n).to_string().repeat(1 << 20);
        let id = format!("keep-{step}-{n}");
        let kept = world
            .control()?
            .call("keeper", "keep", &json!([text]), &id)?;
        kept.expect("it is kept");
    }
    stop(world, step)
}

/// A delta of 5 MiB, which goes into a file of its own; and an end, whose fold removes it.
fn fill(world: &mut World, step: u32) -> Result<(), Lost> {
    let id = format!("fill-{step}");
    let mut control = world.control()?;
    let filled = control.call("keeper", "fill", &json!([step % 250]), &id)?;
    assert_eq!(filled, Ok(json!(step % 250)));
    stop(world, step)
}

/// Never in part; and under its id it is done once, whatever came before.
fn judge_fill(world: &mut World, step: u32) {
    assert_eq!(
        world.call("keeper", "isWhole", &json!([])),
        Ok(json!(true)),
        "step {step}"
    );
    let id = format!("fill-{step}");
    let mut control = world.control().expect("it serves");
    let filled = control.call("keeper", "fill", &json!([step % 250]), &id);
    assert_eq!(filled.expect("nobody kills it"), Ok(json!(step % 250)));
    let held = world.call("keeper", "held", &json!([]));
    assert_eq!(held, Ok(json!(step % 250)));
}

/// As large a delta, and an answer of 5 MiB under its id: both in one file.
fn tell(world: &mut World, step: u32) -> Result<(), Lost> {
    let id = format!("tell-{step}");
    let mut control = world.control()?;
    let told = control.call("keeper", "tell", &json!([step % 250]), &id)?;
    assert_eq!(told, Ok(json!(told_text(step))));
    stop(world, step)
}

fn told_text(step: u32) -> String {
    let begin = (step % 250).to_string();
    let rest = "x".repeat((5 << 20) - begin.len());
    begin + &rest
}

/// Told once, whatever came before, and the same to who asks again.
fn judge_tell(world: &mut World, step: u32) {
    let id = format!("tell-{step}");
    for _ in 0..2 {
        let mut control = world.control().expect("it serves");
        let told = control.call("keeper", "tell", &json!([step % 250]), &id);
        let is_so = told.expect("nobody kills it") == Ok(json!(told_text(step)));
        assert!(is_so, "step {step}");
    }
    let whole = world.call("keeper", "isWhole", &json!([]));
    let held = world.call("keeper", "held", &json!([]));
    assert_eq!((whole, held), (Ok(json!(true)), Ok(json!(step % 250))));
    // Steps count from 0.
    let told = world.call("keeper", "told", &json!([]));
    assert_eq!(told, Ok(json!(step + 1)));
}

fn sleep(world: &mut World, _: u32) -> Result<(), Lost> {
    ask_and_forget(world, &json!({"sleep": {"vat": "keeper"}}))
}

fn wake(world: &mut World, _: u32) -> Result<(), Lost> {
    ask_and_forget(world, &json!({"wake": {"vat": "keeper"}}))
}

fn be_awake(world: &mut World, _: u32) {
    let answer = world.call("keeper", "read", &json!([]));
    assert_eq!(answer, Ok(json!(world.counted)));
}

fn be_asleep(world: &mut World, step: u32) {
    be_awake(world, step);
    sleep(world, step).expect("nobody kills it");
}

fn deploy(world: &mut World, step: u32) -> Result<(), Lost> {
    ask_and_forget(world, &world.deploy_ask(&name_of(step)))
}

/// Wholly there or not at all; and if not, then it can be made.
fn judge_deploy(world: &mut World, step: u32) {
    let name = name_of(step);
    if !world.names().contains(&name) {
        let made = world.ask(&world.deploy_ask(&name));
        made.expect("nobody kills it").expect("the name is free");
    }
    assert_eq!(world.call(&name, "incr", &json!([])), Ok(json!(1)));
}

fn make(world: &mut World, step: u32) {
    deploy(world, step).expect("nobody kills it");
    judge_deploy(world, step);
}

fn terminate(world: &mut World, step: u32) -> Result<(), Lost> {
    ask_and_forget(world, &json!({"terminate": {"vat": name_of(step)}}))
}

/// Still as it was, or gone for good with its name free.
fn judge_terminate(world: &mut World, step: u32) {
    let name = name_of(step);
    if world.names().contains(&name) {
        assert_eq!(world.call(&name, "incr", &json!([])), Ok(json!(2)));
        terminate(world, step).expect("nobody kills it");
    }
    assert!(!world.names().contains(&name));
    make(world, step);
    terminate(world, step).expect("nobody kills it");
}

fn stop(world: &mut World, _: u32) -> Result<(), Lost> {
    world.host.ask_to_stop();
    Ok(())
}

const OPERATIONS: [Operation; 9] = [
    Operation {
        name: "undoing a turn",
        follow: false,
        prepare: be_awake,
        act: regret,
        judge: judge_regret,
        kills_min: 4,
    },
    Operation {
        name: "folding",
        follow: true,
        prepare: be_awake,
        act: fold,
        judge: nothing,
        kills_min: 30,
    },
    Operation {
        name: "a delta in a file of its own",
        follow: false,
        prepare: be_awake,
        act: fill,
        judge: judge_fill,
        kills_min: 20,
    },
    Operation {
        name: "a delta and an answer in a file of their own",
        follow: false,
        prepare: be_awake,
        act: tell,
        judge: judge_tell,
        kills_min: 20,
    },
    Operation {
        name: "putting to sleep",
        follow: false,
        prepare: be_awake,
        act: sleep,
        judge: nothing,
        kills_min: 3,
    },
    Operation {
        name: "waking",
        follow: false,
        prepare: be_asleep,
        act: wake,
        judge: nothing,
        kills_min: 5,
    },
    Operation {
        name: "deploying",
        follow: false,
        prepare: nothing,
        act: deploy,
        judge: judge_deploy,
        kills_min: 15,
    },
    Operation {
        name: "terminating",
        follow: false,
        prepare: make,
        act: terminate,
        judge: judge_terminate,
        kills_min: 4,
    },
    Operation {
        name: "stopping",
        follow: false,
        prepare: be_awake,
        act: stop,
        judge: nothing,
        kills_min: 15,
    },
];

#[test]
fn a_host_killed_at_any_step_of_anything_comes_back_whole() {
    if !may_attach() {
        not_tested("strace is missing or may not trace a running process here");
        return;
    }
    for operation in &OPERATIONS {
        let mut world = World::new();
        let (steps, killed) = world.walk(operation);
        eprintln!("{}: killed at {killed} of {steps} steps", operation.name);
        assert!(killed >= operation.kills_min, "{}", operation.name);
        drop(world.host);
        let verified: Value =
            serde_json::from_str(&world.store.ok(&["--json", "verify"])).expect("JSON");
        assert_eq!(verified["damages"], json!([]), "{}", operation.name);
    }
}
