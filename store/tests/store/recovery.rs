//! Recovery seen from outside: what a torn frame, a recycled segment and a full journal do to the
//! numbers and to what comes after.

use crate::common::*;
use kenvat_store::backend::memory::{Crash, Faults, MemoryBackend};
use kenvat_store::options::FRAME_BYTES_MAX;
use kenvat_store::{OpenError, Part, StageError, Store, StoreError, VatId};

fn driver(disk: &MemoryBackend) -> Driver {
    let (mut store, _) = Store::open(disk.clone(), tiny()).unwrap();
    let engine = put_engine(&mut store).unwrap();
    Driver {
        store,
        known: Known::default(),
        engine,
    }
}

fn big(n: u64, words: usize) -> Vec<Op> {
    vec![Op::Heap(1, vec![(3, 0, vec![n; words])])]
}

/// A frame is being written when the power fails; its sectors are torn by seed.
fn tear(disk: &MemoryBackend, ops: &[Op], seed: u64) -> (MemoryBackend, Known) {
    let (store, _) = Store::open(disk.clone(), tiny()).unwrap();
    let mut driver = driver_of(store);
    let found = contents(&mut driver.store).unwrap();
    driver.known.acknowledged = found;
    driver.stage(ops).unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    let freeze_at = Some(disk.operations() + 2);
    disk.set_faults(Faults {
        freeze_at,
        ..Faults::default()
    });
    sealed.write().unwrap_err();
    (disk.crash(Crash::Torn { seed }), driver.known)
}

fn driver_of(store: MemoryStore) -> Driver {
    let engine = store.engines()[0].hash;
    Driver {
        store,
        known: Known::default(),
        engine,
    }
}

#[test]
fn torn_frames_one_after_the_other_are_each_dropped_and_their_numbers_never_used_again() {
    let disk = MemoryBackend::new();
    let mut first = driver(&disk);
    first.commit(&[Op::Create(1)]).unwrap();
    drop(first.store);
    let mut dropped = 0;
    for seed in 0..60 {
        let (torn, known) = tear(&disk.fork(), &big(1, 180), seed);
        // Nothing is committed in between: only what recovery wrote keeps the number from reuse.
        let (store, recovery) = Store::open(torn.clone(), tiny()).unwrap();
        let torn = torn.crash(Crash::Lost);
        drop(store);
        let Some(first) = recovery.dropped else {
            continue;
        };
        let (torn, again) = tear(&torn, &big(2, 60), seed + 1);
        assert_eq!(again.acknowledged, known.acknowledged);
        let (mut store, recovery) = Store::open(torn.clone(), tiny())
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(again.allows(&contents(&mut store).unwrap()));
        if let Some(second) = recovery.dropped {
            assert!(second.sequence > first.sequence, "seed {seed}");
            dropped += 1;
        }
        let mut driver = driver_of(store);
        driver.known.acknowledged = again.acknowledged;
        driver.stage(&big(3, 10)).unwrap();
        let sealed = driver.store.seal().unwrap().unwrap();
        assert!(sealed.sequence() > first.sequence);
        driver.store.apply(sealed.write().unwrap()).unwrap();
    }
    assert!(dropped > 20, "{dropped} of 60 seeds tore both frames");
}

#[test]
fn frames_of_earlier_uses_of_a_segment_are_never_found_again() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.commit(&[Op::Create(1)]).unwrap();
    for n in 0..60 {
        driver
            .commit(&big(n, 30 + (n as usize * 37) % 150))
            .unwrap();
        if driver.store.fold_due() {
            driver.store.fold().unwrap();
        }
        let crashed = disk.crash(Crash::Lost);
        let (mut store, recovery) = Store::open(crashed, tiny()).unwrap();
        assert_eq!(
            contents(&mut store).unwrap(),
            driver.known.acknowledged,
            "frame {n}"
        );
        assert!(recovery.dropped.is_none() && recovery.last_sequence > n);
    }
    let segments = disk
        .files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("journal/"));
    assert!(segments.count() <= 5, "segments are used again");
}

#[test]
fn a_commit_costs_one_write_and_one_sync() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.commit(&[Op::Create(1)]).unwrap();
    driver.stage(&big(1, 20)).unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    let (operations, syncs) = (disk.operations(), disk.syncs());
    let durable = sealed.write().unwrap();
    assert_eq!(
        (disk.operations() - operations, disk.syncs() - syncs),
        (2, 1)
    );
    driver.store.apply(durable).unwrap();
    assert_eq!(disk.syncs() - syncs, 1, "applying syncs nothing");
}

#[test]
fn no_frame_is_sealed_before_the_one_before_is_written_and_applied_in_order() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.commit(&[Op::Create(1)]).unwrap();
    driver.stage(&big(1, 20)).unwrap();
    let first = driver.store.seal().unwrap().unwrap();
    driver.stage(&big(2, 20)).unwrap();
    assert!(matches!(
        driver.store.seal(),
        Err(StoreError::FrameInFlight)
    ));
    let first = first.write().unwrap();
    let second = driver.store.seal().unwrap().unwrap();
    let second = second.write().unwrap();
    assert!(matches!(
        driver.store.apply(second),
        Err(StoreError::Misuse(_))
    ));
    driver.store.apply(first).unwrap();
    let image = driver.store.image(VatId(1)).unwrap();
    let mut word = [0; 8];
    image.file.read_at(3 * 4096, &mut word).unwrap();
    assert_eq!(
        word,
        1u64.to_le_bytes(),
        "the frame after is not in the image"
    );
}

#[test]
fn a_sealed_frame_or_a_fold_dropped_latches() {
    let disk = MemoryBackend::new();
    let mut first = driver(&disk);
    first.stage(&[Op::Create(1)]).unwrap();
    drop(first.store.seal().unwrap());
    assert!(matches!(
        first.store.get(0, b""),
        Err(StoreError::Latched { .. })
    ));
    drop(first.store);
    let mut second = driver(&disk);
    second.commit(&[Op::Create(1)]).unwrap();
    drop(second.store.begin_fold().unwrap());
    assert!(matches!(
        second.store.get(0, b""),
        Err(StoreError::Latched { .. })
    ));
}

#[test]
fn a_full_journal_makes_commits_wait_until_a_fold_is_finished() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.commit(&[Op::Create(1)]).unwrap();
    let mut commits = 0;
    let error = loop {
        match driver.commit(&big(commits, 100)) {
            Ok(()) => commits += 1,
            Err(error) => break error,
        }
    };
    assert!(error.contains("a fold must finish first"), "{error}");
    assert!(driver.store.journal_full() && driver.store.fold_due() && commits > 10);
    // What was staged is still staged.
    driver.store.fold().unwrap();
    let durable = driver.store.seal().unwrap().unwrap().write().unwrap();
    driver.store.apply(durable).unwrap();
    driver.known.acknowledged = driver.known.in_flight.take().unwrap();
    assert_eq!(
        contents(&mut driver.store).unwrap(),
        driver.known.acknowledged
    );
}

#[test]
fn a_refused_part_leaves_the_frame_as_it_was() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.commit(&[Op::Create(1), Op::Create(2)]).unwrap();
    driver.stage(&[Op::Terminate(2)]).unwrap();
    let engine = driver.engine;
    let before = driver.store.staged_bytes();
    let mut refuse = |part: Part| {
        let error = driver.store.stage(part).unwrap_err();
        assert_eq!(driver.store.staged_bytes(), before);
        error
    };
    let runs = [(0, 0, vec![1])];
    let heap = |vat| Part::Heap {
        vat: VatId(vat),
        delta: delta(&runs),
    };
    assert!(matches!(refuse(heap(3)), StageError::UnknownVat(_)));
    assert!(
        matches!(refuse(heap(2)), StageError::UnknownVat(_)),
        "after its end"
    );
    assert!(matches!(
        refuse(part(&Op::Create(1), engine)),
        StageError::VatExists(_)
    ));
    assert!(matches!(
        refuse(part(&Op::Create(2), engine)),
        StageError::VatExists(_)
    ));
    let other = kenvat_store::EngineHash([0; 32]);
    assert!(matches!(
        refuse(part(&Op::Create(9), other)),
        StageError::UnknownEngine(_)
    ));
    let small = Part::Create {
        vat: VatId(9),
        engine,
        page_limit: 2,
    };
    assert!(matches!(refuse(small), StageError::BadPageLimit { .. }));
    let row = |table, key: usize| part(&Op::Row(table, vec![0; key], None), engine);
    assert!(matches!(
        refuse(row(128, 1)),
        StageError::ReservedTable(128)
    ));
    assert!(matches!(
        refuse(row(0, 5000)),
        StageError::RowTooLong { .. }
    ));
    let long = Part::Log {
        vat: VatId(1),
        bytes: vec![0; FRAME_BYTES_MAX],
    };
    assert!(matches!(refuse(long), StageError::FrameFull { .. }));
    let bytes = delta(&[(5, 0, vec![1])]).as_bytes().to_vec();
    let beyond =
        kenvat_store::Delta::parse([&[99, 0, 0, 0][..], &bytes[4..]].concat(), 100).unwrap();
    let beyond = Part::Heap {
        vat: VatId(1),
        delta: beyond,
    };
    assert!(matches!(refuse(beyond), StageError::Delta(_)));
}

#[test]
fn a_vats_number_is_never_used_again() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    let first = driver.store.next_vat_id();
    driver.commit(&[Op::Create(first.0)]).unwrap();
    driver.commit(&[Op::Terminate(first.0)]).unwrap();
    let error = driver.commit(&[Op::Create(first.0)]).unwrap_err();
    assert!(error.contains("exists, or existed"), "{error}");
    // From the journal, and once a fold has covered it, from the catalog.
    for folds in [false, true] {
        if folds {
            driver.store.fold().unwrap();
        }
        let (mut store, recovery) = Store::open(disk.crash(Crash::Lost), tiny()).unwrap();
        assert_eq!(recovery.frames_applied > 0, !folds);
        assert!(store.next_vat_id() > first, "folded: {folds}");
    }
}

#[test]
fn a_store_in_use_is_refused_with_the_pid() {
    let disk = MemoryBackend::new();
    let _first = driver(&disk);
    match Store::open(disk.clone(), tiny()) {
        Err(OpenError::InUse { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
}
