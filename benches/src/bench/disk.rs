//! What a turn writes and what is kept: after a million updates of a state of fixed size the disk
//! holds the state, not the history.

use crate::engine::{Host, Until};
use crate::record::{Figure, Line};
use crate::room;
use crate::spread::Spread;
use crate::{BenchError, Progress, Settings};

const TURNS: (u64, u64) = (1_000_000, 2_000);
/// Times the disk is looked at on the way.
const LOOKS: u64 = 20;
const IN_FLIGHT: usize = 256;

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let turns = settings.size(TURNS.0, TURNS.1);
    progress.begin("disk", LOOKS);
    let folder = settings.folder()?;
    let dir = folder.path().join("store");
    let mut host = Host::with_vats(&dir, 1)?;
    let written = room::written_bytes()?;
    let (mut kept, mut wrote) = (Vec::new(), Vec::new());
    let mut before = written;
    for _ in 0..LOOKS {
        host.drive(1, IN_FLIGHT, Until::Turns(turns / LOOKS), |_| {})?;
        kept.push(room::disk_bytes(&dir)? as f64);
        let now = room::written_bytes()?;
        wrote.push((now - before) as f64 / (turns / LOOKS) as f64);
        before = now;
        progress.step(1);
    }
    let images = room::disk_bytes(&dir.join("heap"))? as f64;
    let alone = {
        let before = room::written_bytes()?;
        let calls = settings.size(1_000, 20);
        for _ in 0..calls {
            host.timed(0)?;
        }
        (room::written_bytes()? - before) as f64 / calls as f64
    };
    host.stop()?;
    let bound = kenvat_store::Options::default().journal_bytes_max as f64;
    let kept = Spread::of(kept);
    let what = format!("disk after {turns} updates of a fixed-size state");
    Ok(vec![
        Line::new(
            "bytes written a turn, 256 in flight",
            "bytes",
            Spread::of(wrote),
        ),
        Line::new(
            "bytes written a turn, alone",
            "bytes",
            Spread::of(vec![alone]),
        ),
        Line::new("disk of the store", "bytes", kept)
            .counting("turns", turns as f64)
            .counting("image bytes", images)
            .reaching(Figure::at_most(
                &what,
                kept.max,
                images + 2.0 * bound,
                "bytes",
            )),
    ])
}
