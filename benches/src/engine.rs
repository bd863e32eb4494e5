//! A host in this process, with `examples/kv.js` in its vats, and load for it.
//!
//! Promises: load is made through the host's API by this process; what was answered with an error
//! ends the bench, since its figures would mean nothing. Does not know what is measured.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kenvat_engine::api::{Call, CallError, Deploy, VatInfo};
use kenvat_engine::{Answer, Engine, EngineOptions, Handle, Mark, Trace};

use crate::BenchError;

/// The workload, inside the program so that it runs anywhere.
pub const KV: &str = include_str!("../../examples/kv.js");

/// Keys of the map that `kv.js` may hold.
pub const KEYS: u64 = 1_000;

/// Small keys of a vat whose heap is made large: the other keys hold what makes it so.
pub const SMALL_KEYS: u64 = 100;

/// Bytes of heap above which a vat gets a limit of its own.
const HEAP_LIMIT_MIN: u64 = 256 << 20;

/// Calls that make a heap large, in flight.
const BALLAST_IN_FLIGHT: usize = 8;

/// A host with vats named `kv0`, `kv1`, ….
pub struct Host {
    pub engine: Handle,
    pub trace: Arc<Trace>,
    dir: PathBuf,
    /// Keys that are updated, of each vat.
    keys: u64,
    /// Counts the updates, so that each has a value of its own.
    turn: u64,
}

impl Host {
    /// A host on the store in `dir`, which is made if it is not there, without vats. `heap_bytes`
    /// is what new vats must have room for.
    pub fn open(dir: &Path, heap_bytes: u64) -> Result<Host, BenchError> {
        let trace = Arc::new(Trace::default());
        let mut options = EngineOptions::new(dir);
        options.sleep_after_ms = None;
        options.heap_limit = (heap_bytes * 2).max(HEAP_LIMIT_MIN);
        options.trace = Some(trace.clone());
        let engine =
            Engine::open_with(options).map_err(|error| BenchError::Engine(error.to_string()))?;
        Ok(Host {
            engine: engine.into_handle(),
            trace,
            dir: dir.to_owned(),
            keys: KEYS,
            turn: 0,
        })
    }

    /// A new host with vats that hold their keys.
    pub fn with_vats(dir: &Path, count: usize) -> Result<Host, BenchError> {
        let mut host = Host::open(dir, 0)?;
        for vat in 0..count {
            host.deploy(&name(vat))?;
        }
        host.fill(count)?;
        Ok(host)
    }

    /// A new host with one vat whose heap has at least so many bytes in use.
    pub fn with_heap(dir: &Path, bytes: u64) -> Result<Host, BenchError> {
        let mut host = Host::open(dir, bytes)?;
        host.keys = SMALL_KEYS;
        host.deploy(&name(0))?;
        host.fill(1)?;
        host.grow(bytes)?;
        host.trace.drain();
        Ok(host)
    }

    pub fn deploy(&self, name: &str) -> Result<(), BenchError> {
        settle(self.engine.deploy(program(name)))?;
        Ok(())
    }

    /// Gives every key a value, so that updates change nothing but values.
    fn fill(&mut self, vats: usize) -> Result<(), BenchError> {
        let turns = self.keys * vats as u64;
        self.drive(vats, 256, Until::Turns(turns), |_| {})?;
        self.trace.drain();
        Ok(())
    }

    /// Fills the heap with records of the kind programs hold: small objects, strings, arrays.
    fn grow(&mut self, bytes: u64) -> Result<(), BenchError> {
        let keys = KEYS - SMALL_KEYS;
        // What a record takes is learned from the first ones.
        let mut record_bytes = 400;
        let mut waiting = VecDeque::new();
        let mut before = self.show(0)?.heap_bytes;
        for key in 0..keys {
            if waiting.len() == BALLAST_IN_FLIGHT || key < 2 {
                waiting.drain(..).try_for_each(settle_update)?;
                let now = self.show(0)?.heap_bytes;
                if now >= bytes {
                    break;
                }
                if key == 1 && now > before {
                    record_bytes = ((now - before) / records(bytes / keys, record_bytes)).max(1);
                }
                before = now;
            }
            let count = records(
                (bytes.saturating_sub(before) / (keys - key)).max(bytes / keys),
                record_bytes,
            );
            let args = format!("[\"b{key}\",{}]", record_list(key, count));
            waiting.push_back(self.call("update", args));
        }
        waiting.drain(..).try_for_each(settle_update)?;
        let found = self.show(0)?.heap_bytes;
        if found < bytes {
            let what = format!("the heap has {found} bytes, not {bytes}");
            return Err(BenchError::Workload(what));
        }
        Ok(())
    }

    fn call(&self, method: &str, args: String) -> Update {
        self.engine.call(Call::new(name(0), method, args))
    }

    /// One `update` on its way.
    pub fn update(&mut self, vat: usize) -> Update {
        let call = self.next_update(vat);
        self.engine.call(call)
    }

    fn next_update(&mut self, vat: usize) -> Call {
        self.turn += 1;
        let args = format!("[\"k{}\",{}]", self.turn % self.keys, self.turn);
        Call::new(name(vat), "update", args)
    }

    /// One `update`, message in to answer out.
    pub fn timed(&mut self, vat: usize) -> Result<Timed, BenchError> {
        let call = self.next_update(vat);
        let begun = Instant::now();
        let mut timed = None;
        self.engine.call_inline(call, Duration::MAX, |answer| {
            let answer = answer.wait();
            let ended = Instant::now();
            timed = Some(settled(answer).map(|_| Timed { begun, ended }));
        });
        timed.expect("the engine answers")
    }

    /// Updates with at most `in_flight` unanswered, round robin over the vats. `done` hears how
    /// long each took.
    pub fn drive(
        &mut self,
        vats: usize,
        in_flight: usize,
        until: Until,
        mut done: impl FnMut(Duration),
    ) -> Result<Drive, BenchError> {
        let begun = Instant::now();
        let mut waiting: VecDeque<(Instant, Update)> = VecDeque::with_capacity(in_flight);
        let mut turns = 0;
        while until.goes_on(turns, begun) {
            if waiting.len() == in_flight
                && let Some((sent, answer)) = waiting.pop_front()
            {
                settled(answer.wait())?;
                done(sent.elapsed());
            }
            let vat = (turns % vats as u64) as usize;
            turns += 1;
            waiting.push_back((Instant::now(), self.update(vat)));
        }
        for (sent, answer) in waiting {
            settled(answer.wait())?;
            done(sent.elapsed());
        }
        let elapsed = begun.elapsed();
        Ok(Drive { turns, elapsed })
    }

    pub fn show(&self, vat: usize) -> Result<VatInfo, BenchError> {
        settle(self.engine.show(&name(vat)))
    }

    /// The steps since the last time.
    pub fn steps(&self) -> Vec<Mark> {
        self.trace.drain()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends the host cleanly.
    pub fn stop(self) -> Result<(), BenchError> {
        settle(self.engine.stop())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A bench that failed has its own error to show; one that stopped its host is told so.
        let _ = self.engine.stop().wait();
    }
}

/// When an update began and when its answer was there.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub begun: Instant,
    pub ended: Instant,
}

impl Timed {
    pub fn took(&self) -> Duration {
        self.ended - self.begun
    }
}

/// How long load is made.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Turns(u64),
    Elapsed(Duration),
}

impl Until {
    fn goes_on(self, turns: u64, begun: Instant) -> bool {
        match self {
            Until::Turns(most) => turns < most,
            Until::Elapsed(most) => begun.elapsed() < most,
        }
    }
}

/// What load came to.
#[derive(Clone, Copy, Debug)]
pub struct Drive {
    pub turns: u64,
    pub elapsed: Duration,
}

impl Drive {
    pub fn turns_a_second(&self) -> f64 {
        self.turns as f64 / self.elapsed.as_secs_f64()
    }
}

/// One `update` on its way.
pub type Update = Answer<Result<String, CallError>>;

/// A vat of the workload, to be deployed.
pub fn program(name: &str) -> Deploy {
    Deploy::new(name, KV)
}

/// Names of the vats.
pub fn name(vat: usize) -> String {
    format!("kv{vat}")
}

/// Waits for an answer that must be good.
pub fn settle<T, E: std::fmt::Display>(answer: Answer<Result<T, E>>) -> Result<T, BenchError> {
    settled(answer.wait())
}

fn settle_update(update: Update) -> Result<(), BenchError> {
    settle(update).map(drop)
}

fn settled<T, E: std::fmt::Display, S: std::fmt::Display>(
    answer: Result<Result<T, E>, S>,
) -> Result<T, BenchError> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(BenchError::Engine(error.to_string())),
        Err(stopped) => Err(BenchError::Engine(stopped.to_string())),
    }
}

fn records(bytes: u64, record_bytes: u64) -> u64 {
    (bytes / record_bytes).max(1)
}

fn record_list(key: u64, count: u64) -> String {
    let mut list = String::from("[");
    for at in 0..count {
        if at > 0 {
            list.push(',');
        }
        list += &format!("{{\"id\":{at},\"name\":\"customer {key} {at}\",\"sums\":[{at},2,3]}}");
    }
    list.push(']');
    list
}
