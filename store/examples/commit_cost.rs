//! What a commit and a turn cost, beside the raw disk. Run with `--release` and a folder.
//!
//! Prints p50 and p99 of one small frame against the same write and sync on a plain preallocated
//! file, turns a second through stage and apply when many share a frame, and the time to open
//! without having been closed.

use kenvat_store::{Delta, FileBackend, Genesis, Options, Part, Row, Store, VatId, push_run};
use std::error::Error;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const FRAMES: usize = 2000;
const PAGE_LIMIT: u32 = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "target/commit_cost".to_owned());
    let _ = std::fs::remove_dir_all(&dir);
    let (mut store, _) = Store::open(FileBackend::new(&dir), Options::default())?;
    let genesis = Genesis::from_delta(&turn(0)?)?;
    let engine = store.put_engine(b"worker", &genesis)?;
    let vats: Vec<VatId> = (0..100).map(|_| store.next_vat_id()).collect();
    for &vat in &vats {
        store.stage(Part::Create {
            vat,
            engine,
            page_limit: PAGE_LIMIT,
        })?;
    }
    commit(&mut store)?;
    let raw = raw_disk(&dir)?;
    let mut frames = Vec::new();
    for n in 0..FRAMES as u64 {
        let start = Instant::now();
        store.stage(Part::Heap {
            vat: vats[0],
            delta: turn(n)?,
        })?;
        store.stage(row(n))?;
        commit(&mut store)?;
        frames.push(start.elapsed());
        fold_if_due(&mut store)?;
    }
    report("raw write + sync", raw);
    report("one turn a frame", frames);
    for turns in [10u64, 100, 1000] {
        let mut staging = Duration::ZERO;
        let start = Instant::now();
        let frames = 200_000 / turns;
        for frame in 0..frames {
            let begin = Instant::now();
            for n in 0..turns {
                let vat = vats[(n % vats.len() as u64) as usize];
                store.stage(Part::Heap {
                    vat,
                    delta: turn(frame * turns + n)?,
                })?;
                store.stage(row(n))?;
            }
            let sealed = store.seal()?.ok_or("nothing was staged")?;
            staging += begin.elapsed();
            let durable = sealed.write()?;
            let begin = Instant::now();
            store.apply(durable)?;
            staging += begin.elapsed();
            fold_if_due(&mut store)?;
        }
        let total = (frames * turns) as f64;
        println!(
            "{turns:>5} turns a frame: {:>9.0} turns/s, {:>9.0} turns/s without the disk",
            total / start.elapsed().as_secs_f64(),
            total / staging.as_secs_f64()
        );
    }
    for n in 0..500 {
        store.stage(Part::Heap {
            vat: vats[0],
            delta: turn(n)?,
        })?;
        commit(&mut store)?;
    }
    drop(store);
    let start = Instant::now();
    let (mut store, recovery) = Store::open(FileBackend::new(&dir), Options::default())?;
    let opened = start.elapsed();
    store.image(vats[0])?;
    let (opened, woken) = (
        opened.as_secs_f64() * 1e3,
        start.elapsed().as_secs_f64() * 1e3,
    );
    let frames = recovery.frames_applied;
    println!("opened with {frames} frames to apply in {opened:.1} ms, an image at {woken:.1} ms");
    Ok(store.close()?)
}

/// A small turn: three pages, a dozen words.
fn turn(n: u64) -> Result<Delta, Box<dyn Error>> {
    let mut bytes = Vec::new();
    for page in [1, 7, 30] {
        for word in [3, 90, 300] {
            push_run(
                &mut bytes,
                page,
                word,
                &[(n + 1).to_le_bytes(), n.to_le_bytes()].concat(),
            );
        }
    }
    Ok(Delta::parse(bytes, PAGE_LIMIT)?)
}

fn row(n: u64) -> Part {
    let value = Some(n.to_le_bytes().repeat(4));
    Part::Row(Row {
        table: 1,
        key: (n % 1000).to_be_bytes().to_vec(),
        value,
    })
}

fn commit(store: &mut Store) -> Result<(), Box<dyn Error>> {
    let sealed = store.seal()?.ok_or("nothing was staged")?;
    let durable = sealed.write()?;
    Ok(store.apply(durable)?)
}

fn fold_if_due(store: &mut Store) -> Result<(), Box<dyn Error>> {
    if store.fold_due() {
        store.fold()?;
    }
    Ok(())
}

fn raw_disk(dir: &str) -> Result<Vec<Duration>, Box<dyn Error>> {
    let file = std::fs::File::create(format!("{dir}/raw"))?;
    file.write_all_at(&vec![0; 16 << 20], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for n in 0..FRAMES as u64 {
        let start = Instant::now();
        file.write_all_at(&[n as u8; 512], (n * 512) % (16 << 20))?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(format!("{dir}/raw"))?;
    Ok(times)
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    println!("{what}: p50 {:.0} us, p99 {:.0} us", at(50), at(99));
}
