//! The benches, one file each.
//!
//! Promises: names are those of `kenvat bench NAME`; each runs by itself. Does not know how results
//! are shown.

mod checkpoint;
mod create;
mod disk;
mod folding;
mod neighbour;
mod restart;
mod scale;
mod sleepers;
mod throughput;
mod wake;

use crate::record::Line;
use crate::{BenchError, Progress, Settings};

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bench {
    Checkpoint,
    Throughput,
    Restart,
    Wake,
    Create,
    Scale,
    Disk,
    Sleepers,
    Neighbour,
}

impl Bench {
    /// All of them, in the order they are run.
    pub const ALL: [Bench; 9] = [
        Bench::Checkpoint,
        Bench::Throughput,
        Bench::Wake,
        Bench::Create,
        Bench::Restart,
        Bench::Scale,
        Bench::Disk,
        Bench::Sleepers,
        Bench::Neighbour,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Bench::Checkpoint => "checkpoint",
            Bench::Throughput => "throughput",
            Bench::Restart => "restart",
            Bench::Wake => "wake",
            Bench::Create => "create",
            Bench::Scale => "scale",
            Bench::Disk => "disk",
            Bench::Sleepers => "sleepers",
            Bench::Neighbour => "neighbour",
        }
    }

    /// One line for `--list`.
    pub fn about(self) -> &'static str {
        match self {
            Bench::Checkpoint => "one turn at a time: its delay step by step, its bytes, its syncs",
            Bench::Throughput => {
                "durable turns a second with many calls in flight; commits beside folds"
            }
            Bench::Restart => "kill -9 of everything to the first answer, history and heap varied",
            Bench::Wake => "a sleeping vat to its answer",
            Bench::Create => "a new vat: its time and its disk",
            Bench::Scale => "one small turn in heaps of 1 MiB to 1 GiB",
            Bench::Disk => "bytes written a turn, and kept after a million of them",
            Bench::Sleepers => "the host's memory with thousands of sleeping vats",
            Bench::Neighbour => "a vat called 1,000 times a second beside one past its limits",
        }
    }

    pub fn from_name(name: &str) -> Option<Bench> {
        Bench::ALL.into_iter().find(|bench| bench.name() == name)
    }

    pub(crate) fn run(
        self,
        settings: &Settings,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Line>, BenchError> {
        match self {
            Bench::Checkpoint => checkpoint::run(settings, progress),
            Bench::Throughput => throughput::run(settings, progress),
            Bench::Restart => restart::run(settings, progress),
            Bench::Wake => wake::run(settings, progress),
            Bench::Create => create::run(settings, progress),
            Bench::Scale => scale::run(settings, progress),
            Bench::Disk => disk::run(settings, progress),
            Bench::Sleepers => sleepers::run(settings, progress),
            Bench::Neighbour => neighbour::run(settings, progress),
        }
    }
}
