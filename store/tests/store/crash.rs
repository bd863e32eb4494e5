//! The power fails at every operation of commit, fold, opening and recovery, with what was not
//! synced lost, kept, torn at sectors and reordered.
//!
//! Claims: everything acknowledged is found again; a frame is there whole or not at all; images are
//! the fold of the frames; the store goes on afterwards. And the same with a sync that fails
//! instead, the process started again, and the power lost after that.

use crate::common::*;
use kenvat_store::Store;
use kenvat_store::backend::memory::{Crash, Faults, MemoryBackend};

/// A life of a store that comes by everything that writes. Stops at the first error.
fn live(disk: &MemoryBackend, known: &mut Known) -> Result<(), String> {
    let (mut store, _) = Store::open(disk.clone(), tiny()).map_err(|error| error.to_string())?;
    let engine = put_engine(&mut store)?;
    let mut driver = Driver {
        store,
        known: known.clone(),
        engine,
    };
    let result = first_life(&mut driver);
    *known = driver.known;
    result?;
    closing(disk, known, || drop(driver.store));
    let (store, _) = Store::open(disk.clone(), tiny()).map_err(|error| error.to_string())?;
    let mut driver = Driver {
        store,
        known: known.clone(),
        engine,
    };
    let result = second_life(&mut driver);
    *known = driver.known;
    result?;
    driver.store.fold().map_err(|error| error.to_string())?;
    closing(disk, known, || driver.store.close()).map_err(|error| error.to_string())
}

/// Counts what redb writes when it is closed; nobody waits for that or notices a failure.
fn closing<T>(disk: &MemoryBackend, known: &mut Known, close: impl FnOnce() -> T) -> T {
    let before = disk.operations();
    let result = close();
    known.closing_operations += disk.operations() - before;
    result
}

fn first_life(driver: &mut Driver) -> Result<(), String> {
    let row = |key: &str, value: Option<&str>| {
        Op::Row(
            1,
            key.as_bytes().to_vec(),
            value.map(|value| value.as_bytes().to_vec()),
        )
    };
    driver.commit(&[
        Op::Create(1),
        Op::Heap(1, vec![(0, 1, vec![5]), (4, 0, vec![6; 200])]),
    ])?;
    driver.commit(&[Op::Log(1, b"one\n".to_vec()), row("a", Some("1"))])?;
    driver.commit(&[
        Op::Create(2),
        Op::Log(2, vec![b'x'; 3000]),
        row("b", Some("2")),
    ])?;
    driver.fold_around(
        &[
            Op::Heap(1, vec![(0, 1, vec![9]), (5, 511, vec![1])]),
            row("a", None),
        ],
        &[
            Op::Heap(1, vec![(3, 12, vec![])]),
            Op::Heap(2, vec![(2, 99, vec![7; 4])]),
            Op::Log(1, b"two\n".to_vec()),
        ],
    )?;
    // Larger than a segment: one is made for it.
    driver.commit(&[Op::Heap(
        1,
        vec![(3, 0, vec![3; 512]), (4, 0, vec![0; 512])],
    )])?;
    driver.commit(&[Op::Heap(1, vec![(0, 2, vec![]), (2, 9, vec![4; 3])])])?;
    driver.commit(&[
        Op::Spill(
            1,
            vec![
                vec![(0, 9, vec![3; 5])],
                vec![(1, 0, vec![2; 512]), (4, 9, vec![])],
            ],
        ),
        row("c", Some("4")),
    ])?;
    driver.commit(&[Op::Heap(1, vec![(1, 4, vec![9]), (5, 0, vec![6; 2])])])?;
    // A delta, rows and log at once; rows beside a delta that is in the frame.
    driver.commit(&[
        row("g", Some("gone")),
        Op::Large(
            1,
            Large {
                chunks: vec![vec![(0, 9, vec![4; 5])]],
                rows: vec![
                    (1, b"f".to_vec(), vec![9; 3000]),
                    (1, b"g".to_vec(), b"6".to_vec()),
                ],
                log: vec![b'y'; 5000],
            },
        ),
        Op::Log(1, b"after\n".to_vec()),
    ])?;
    driver.commit(&[Op::Heap(1, vec![(4, 8, vec![7])]), set(1, "h", 900)])?;
    driver.commit(&[row("h", Some("small")), Op::Log(1, b"three\n".to_vec())])?;
    // Made and never named by a frame. Nobody waits for its removal; the next open ensures it.
    let spill = driver.spill(2, &[vec![(3, 3, vec![3])]]);
    drop(spill.map_err(|error| error.to_string())?);
    driver.known.closing_operations += 1;
    driver.commit(&[Op::Terminate(2), row("b", Some("3"))])?;
    driver.store.fold().map_err(|error| error.to_string())?;
    driver.commit(&[Op::Heap(1, vec![(0, 2, vec![8; 60])])])
}

/// One row and its log, in a file of their own.
fn set(vat: u64, key: &str, len: usize) -> Op {
    Op::Large(
        vat,
        Large {
            rows: vec![(1, key.as_bytes().to_vec(), vec![7; len])],
            log: format!("{key} is set\n").into_bytes(),
            ..Large::default()
        },
    )
}

fn second_life(driver: &mut Driver) -> Result<(), String> {
    driver.commit(&[
        Op::Create(3),
        Op::Spill(3, vec![vec![(1, 0, vec![1; 130])]]),
    ])?;
    // Kept beyond their vat's end, and set while a fold runs.
    driver.commit(&[set(1, "i", 700)])?;
    driver.fold_around(
        &[set(1, "j", 5000), Op::Terminate(1)],
        &[Op::Log(3, b"three".to_vec()), set(3, "k", 20)],
    )?;
    for n in 0..4 {
        driver.commit(&[Op::Heap(3, vec![(n, 5, vec![u64::from(n) + 1; 70])])])?;
    }
    driver.commit(&[Op::Heap(3, vec![(1, 10, vec![])])])?;
    driver.store.fold().map_err(|error| error.to_string())
}

/// Operations of an undisturbed life.
fn operations() -> u64 {
    let disk = MemoryBackend::new();
    live(&disk, &mut Known::default()).unwrap();
    disk.operations()
}

/// The operations among them whose failure is not noticed.
fn closing_operations() -> u64 {
    let mut known = Known::default();
    live(&MemoryBackend::new(), &mut known).unwrap();
    known.closing_operations
}

#[test]
fn a_crash_at_every_operation_loses_nothing_acknowledged_and_tears_no_frame() {
    let operations = operations();
    assert!(
        operations > 200,
        "{operations} operations are too few to come by everything"
    );
    let mut between = 0;
    for freeze_at in 1..=operations {
        let disk = MemoryBackend::new();
        disk.set_faults(Faults {
            freeze_at: Some(freeze_at),
            ..Faults::default()
        });
        let mut known = Known::default();
        // A failure may go unnoticed only in what redb writes when it is closed, for which nobody
        // waits.
        let _ = live(&disk, &mut known);
        for crash in crashes(1) {
            let after = disk.crash(crash);
            let at = format!("frozen at {freeze_at} of {operations}, {crash:?}");
            let (store, found) = reopen(&after, &known).unwrap_or_else(|e| panic!("{at}: {e}"));
            between += u32::from(found != known.acknowledged);
            goes_on(&after, store, &found).unwrap_or_else(|e| panic!("{at}, going on: {e}"));
        }
    }
    assert!(
        between > 10,
        "frames not yet acknowledged were found {between} times only"
    );
}

#[test]
fn a_crash_at_every_operation_of_recovery_changes_nothing() {
    let operations = operations();
    let mut recoveries = 0;
    for freeze_at in (1..=operations).step_by(7) {
        let disk = MemoryBackend::new();
        disk.set_faults(Faults {
            freeze_at: Some(freeze_at),
            ..Faults::default()
        });
        let mut known = Known::default();
        // A failure may go unnoticed only in what redb writes when it is closed, for which nobody
        // waits.
        let _ = live(&disk, &mut known);
        for crash in [Crash::Kept, Crash::Torn { seed: freeze_at }] {
            let crashed = disk.crash(crash);
            let mut found = None;
            for second in 1.. {
                let disk = crashed.fork();
                let freeze_at = Some(disk.operations() + second);
                disk.set_faults(Faults {
                    freeze_at,
                    ..Faults::default()
                });
                let is_through = Store::open(disk.clone(), tiny()).is_ok();
                recoveries += 1;
                for crash in [Crash::Lost, Crash::Kept, Crash::Torn { seed: second }] {
                    let at = format!("frozen at {freeze_at:?}, again at {second}, {crash:?}");
                    let again = check(&disk.crash(crash), &known);
                    let again = again.unwrap_or_else(|e| panic!("{at}: {e}"));
                    // Once found, found for good: recovery may have let outputs go.
                    if is_through {
                        let first = found.get_or_insert_with(|| again.clone());
                        assert_eq!(&again, first, "{at}");
                    }
                }
                if is_through {
                    break;
                }
            }
        }
    }
    assert!(recoveries > 300, "{recoveries}");
}

#[test]
fn after_a_failed_operation_the_store_refuses_everything_and_what_is_found_then_stays() {
    let operations = operations();
    let mut unnoticed = 0;
    for fail_at in 1..=operations {
        let disk = MemoryBackend::new();
        disk.set_faults(Faults {
            fail_at: Some(fail_at),
            ..Faults::default()
        });
        let mut known = Known::default();
        unnoticed += u64::from(live(&disk, &mut known).is_ok());
        // The process starts again on a machine that went on: all that was readable still is.
        let at = format!("operation {fail_at} of {operations} failed");
        let disk = disk.fork();
        let (store, found) = reopen(&disk, &known).unwrap_or_else(|e| panic!("{at}: {e}"));
        // Then the power fails, and what recovery acted on must still be there.
        for crash in crashes(1) {
            let still = Known {
                acknowledged: found.clone(),
                ..Known::default()
            };
            let after = disk.crash(crash);
            check(&after, &still).unwrap_or_else(|e| panic!("{at}, then {crash:?}: {e}"));
        }
        goes_on(&disk, store, &found).unwrap_or_else(|e| panic!("{at}, going on: {e}"));
    }
    assert_eq!(
        unnoticed,
        closing_operations(),
        "failures of {operations} were not noticed"
    );
}

#[test]
fn a_latched_store_refuses_reads_stages_seals_and_folds_until_opened_again() {
    let disk = MemoryBackend::new();
    let (mut store, _) = Store::open(disk.clone(), tiny()).unwrap();
    let engine = put_engine(&mut store).unwrap();
    let mut driver = Driver {
        store,
        known: Known::default(),
        engine,
    };
    driver.commit(&[Op::Create(1)]).unwrap();
    driver.stage(&[Op::Heap(1, vec![(1, 1, vec![1])])]).unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    // The write is one operation, the sync the next.
    disk.set_faults(Faults {
        fail_at: Some(disk.operations() + 2),
        ..Faults::default()
    });
    sealed.write().unwrap_err();
    let store = &mut driver.store;
    let is_latched = |error: String| assert!(error.contains("stopped after an error"), "{error}");
    is_latched(store.get(1, b"").unwrap_err().to_string());
    is_latched(store.scan(1, b"").unwrap_err().to_string());
    is_latched(
        store
            .stage(part(&Op::Create(5), engine))
            .unwrap_err()
            .to_string(),
    );
    is_latched(store.seal().unwrap_err().to_string());
    is_latched(store.begin_fold().unwrap_err().to_string());
    is_latched(store.image(kenvat_store::VatId(1)).unwrap_err().to_string());
    is_latched(
        store
            .log_read(kenvat_store::VatId(1), 0, 1)
            .unwrap_err()
            .to_string(),
    );
    is_latched(store.verify().unwrap_err().to_string());
    is_latched(store.engine(engine).unwrap_err().to_string());
    let operations = disk.operations();
    drop(driver.store);
    assert_eq!(
        disk.operations(),
        operations,
        "a latched store writes nothing, not even at its end"
    );
    check(&disk, &driver.known).unwrap();
}

#[test]
fn the_same_life_writes_the_same_bytes() {
    // But for the store's key and id, which are drawn: lengths and operations are compared.
    let (first, second) = (MemoryBackend::new(), MemoryBackend::new());
    live(&first, &mut Known::default()).unwrap();
    live(&second, &mut Known::default()).unwrap();
    assert_eq!(first.files(), second.files());
    assert_eq!(first.operations(), second.operations());
}
