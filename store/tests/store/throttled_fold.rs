//! A fold that is large enough for images, logs, catalog and a new segment to be written in chunks.
//!
//! Claims: if a chunk fails, or the power fails before it, nothing acknowledged is lost, even if
//! the disk considers what it lost as written; the store stops at it as at a sync.

use crate::common::{Model, contents, put_engine};
use kenvat_store::backend::memory::{Crash, Faults, MemoryBackend, Operation};
use kenvat_store::{Delta, Options, Part, Row, Store, VatId, push_run};
use std::collections::BTreeSet;

const PAGES: u32 = 100;

fn options() -> Options {
    Options {
        segment_bytes: 1 << 20,
        fold_bytes: 512 << 10,
        journal_bytes_max: 8 << 20,
        log_file_bytes: 1 << 20,
        ballast_bytes: 8 << 20,
        ..Options::default()
    }
}

/// A store with one frame that changed much, and nothing folded; and what it holds.
fn unfolded() -> (MemoryBackend, Model) {
    let disk = MemoryBackend::new();
    let (mut store, _) = Store::open(disk.clone(), options()).unwrap();
    let engine = put_engine(&mut store).unwrap();
    let vat = VatId(1);
    let mut runs = Vec::new();
    for page in 0..PAGES {
        push_run(&mut runs, page, 7, &u64::from(page + 1).to_le_bytes());
    }
    let page_limit = PAGES;
    let mut parts = vec![
        Part::Create {
            vat,
            engine,
            page_limit,
        },
        Part::Heap {
            vat,
            delta: Delta::parse(runs, PAGES).unwrap(),
        },
        Part::Log {
            vat,
            bytes: vec![b'x'; 300 << 10],
        },
    ];
    parts.extend((0..50u8).map(|key| {
        let (table, key, value) = (1, vec![key], Some(vec![key; 6_000]));
        Part::Row(Row { table, key, value })
    }));
    for part in parts {
        store.stage(part).unwrap();
    }
    let durable = store.seal().unwrap().unwrap().write().unwrap();
    store.apply(durable).unwrap();
    let model = contents(&mut store).unwrap();
    drop(store);
    (disk, model)
}

#[test]
fn nothing_is_lost_at_any_operation_of_a_fold_that_writes_in_chunks() {
    let (base, model) = unfolded();
    let undisturbed = base.fork();
    let (mut store, _) = Store::open(undisturbed.clone(), options()).unwrap();
    let first = undisturbed.operations() + 1;
    store.fold().unwrap();
    let last = undisturbed.operations();
    drop(store);
    let mut chunks = BTreeSet::new();
    for at in first..=last {
        for fails in [true, false] {
            let disk = base.fork();
            let (mut store, _) = Store::open(disk.clone(), options()).unwrap();
            disk.set_faults(Faults {
                fail_at: fails.then_some(at),
                freeze_at: (!fails).then_some(at),
                ..Faults::default()
            });
            let place = format!("operation {at} of {first}..={last}, fails: {fails}");
            let folded = store.fold();
            if let Some(met) = disk.met().filter(|met| met.kind == Operation::WriteBack) {
                assert!(folded.is_err(), "{place}");
                assert!(
                    store.get(1, b"").is_err() && store.seal().is_err(),
                    "{place}"
                );
                let folder = met.path.split('/').next().unwrap().to_owned();
                chunks.insert(folder);
            }
            drop(store);
            for crash in [Crash::Lost, Crash::Kept, Crash::Torn { seed: at }] {
                let disk = disk.crash(crash);
                let (mut store, _) = Store::open(disk, options())
                    .unwrap_or_else(|error| panic!("{place}, {crash:?}: {error}"));
                assert!(contents(&mut store).unwrap() == model, "{place}, {crash:?}");
            }
        }
    }
    let all = ["catalog.redb", "heap", "journal", "logs"].map(str::to_owned);
    assert_eq!(chunks, BTreeSet::from(all), "what goes by the piece");
}
