//! A full disk (I2, J8): at every operation, of every size, and with the power lost afterwards.
//!
//! Claims: whatever finds no space is refused whole, and nothing latches unless a sync or a frame
//! was under way. Acknowledged commits stay. When there is space again the store goes on by itself,
//! and everything is found. A turn in a steady state reserves nothing. A quota and a limit on file
//! size count as a full disk.

use crate::common::*;
use kenvat_store::backend::memory::{Crash, Faults, MemoryBackend, Operation, Want};
use kenvat_store::{
    Options, PART_OVERHEAD_BYTES, Reservation, SpillFileError, StageError, Store, StoreError, VatId,
};

/// What came of a step.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    /// Refused whole, for lack of space.
    Refused,
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Op>),
    Fold,
    /// A fold with a commit while it runs and another before it is finished.
    FoldAround(Vec<Op>, Vec<Op>),
}

/// Steps that together cover everything that takes space.
fn steps() -> Vec<Step> {
    let heap = |vat, runs: Vec<RunOf>| Op::Heap(vat, runs);
    let row = |key: &str, len: usize| Op::Row(1, key.as_bytes().to_vec(), Some(vec![7; len]));
    let mut steps = vec![
        Step::Commit(vec![
            Op::Create(1),
            heap(1, vec![(0, 1, vec![5]), (4, 0, vec![6; 200])]),
        ]),
        Step::Commit(vec![Op::Log(1, b"one\n".to_vec()), row("a", 30)]),
        Step::Commit(vec![
            Op::Create(2),
            Op::Log(2, vec![b'x'; 3000]),
            row("b", 900),
        ]),
        Step::FoldAround(
            vec![heap(1, vec![(0, 1, vec![9]), (5, 511, vec![1])])],
            vec![
                heap(2, vec![(3, 99, vec![7; 4])]),
                Op::Log(1, b"two\n".to_vec()),
            ],
        ),
        // Larger than a segment: one is made for it.
        Step::Commit(vec![heap(
            1,
            vec![(3, 0, vec![3; 512]), (4, 0, vec![0; 512])],
        )]),
        // A delta in a spill file, in two chunks, on existing pages and new ones.
        Step::Commit(vec![
            Op::Spill(
                1,
                vec![
                    vec![(0, 3, vec![8; 9]), (6, 0, vec![2; 512])],
                    vec![(7, 0, vec![3; 512]), (15, 511, vec![4])],
                ],
            ),
            row("e", 40),
        ]),
        // Rows and log as well; and without a delta, of a vat that has one in the frame.
        Step::Commit(vec![large(
            vec![vec![(8, 0, vec![5; 512])]],
            &[("f", 9000), ("g", 10)],
            6000,
        )]),
        Step::Commit(vec![
            heap(1, vec![(9, 0, vec![6])]),
            large(vec![], &[("h", 4000)], 0),
        ]),
        Step::Commit(vec![Op::Terminate(2), row("b", 5)]),
        Step::Fold,
        Step::Commit(vec![
            Op::Create(3),
            heap(3, vec![(1, 0, vec![1; 130])]),
            row("c", 5000),
        ]),
    ];
    for n in 0..6 {
        let words = vec![u64::from(n) + 1; 70];
        let log = Op::Log(3, vec![b'0' + n as u8; 4000]);
        steps.push(Step::Commit(vec![heap(3, vec![(n, 5, words)]), log]));
    }
    steps.push(Step::FoldAround(
        vec![Op::Terminate(1)],
        vec![row("d", 20_000)],
    ));
    steps.push(Step::Fold);
    steps
}

fn large(chunks: Vec<Vec<RunOf>>, rows: &[(&str, usize)], log: usize) -> Op {
    let row = |&(key, len): &(&str, usize)| (1, key.as_bytes().to_vec(), vec![8; len]);
    let large = Large {
        chunks,
        rows: rows.iter().map(row).collect(),
        log: vec![b'l'; log],
    };
    Op::Large(1, large)
}

/// Reserves space for the parts of a commit; those of a new vat go together.
fn reserve(driver: &mut Driver, ops: &[Op]) -> Result<Outcome, String> {
    let mut born = None;
    for op in ops {
        let (mut log_bytes, mut row_bytes, mut runs, mut spill_log_bytes) = (0, 0, None, 0);
        let vat = match op {
            Op::Create(vat) => {
                born = Some(*vat);
                for op in ops {
                    match op {
                        Op::Heap(of, found) if of == vat => runs = Some(delta(found)),
                        Op::Log(of, bytes) if of == vat => log_bytes = bytes.len(),
                        _ => {}
                    }
                }
                *vat
            }
            Op::Heap(vat, _) | Op::Log(vat, _) if born == Some(*vat) => continue,
            Op::Heap(vat, found) => {
                runs = Some(delta(found));
                *vat
            }
            Op::Log(vat, bytes) => {
                log_bytes = bytes.len();
                *vat
            }
            Op::Row(_, key, value) => {
                let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
                row_bytes = bytes + PART_OVERHEAD_BYTES;
                0
            }
            Op::Terminate(vat) | Op::Spill(vat, _) => *vat,
            Op::Large(vat, large) => {
                spill_log_bytes = large.log.len() as u64;
                *vat
            }
        };
        let creates = matches!(op, Op::Create(_)).then_some((driver.engine, PAGES));
        let reservation = Reservation {
            vat: VatId(vat),
            creates,
            delta: runs.as_ref(),
            log_bytes,
            spill_log_bytes,
            row_bytes,
        };
        match driver.store.reserve(&reservation) {
            Ok(()) => {}
            Err(StageError::NoSpace(_)) => return Ok(Outcome::Refused),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(Outcome::Done)
}

fn commit(driver: &mut Driver, ops: &[Op]) -> Result<Outcome, String> {
    if driver.store.journal_full() {
        run(driver, &Step::Fold)?;
    }
    let spills = match driver.spills(ops) {
        Ok(spills) => spills,
        Err(SpillFileError::Full { .. }) => return Ok(Outcome::Refused),
        Err(error) => return Err(error.to_string()),
    };
    if reserve(driver, ops)? == Outcome::Refused {
        return Ok(Outcome::Refused);
    }
    // What was reserved is not refused for lack of space any more (J8).
    driver.commit_with(ops, spills)?;
    Ok(Outcome::Done)
}

fn begin_fold(driver: &mut Driver) -> Result<Option<kenvat_store::Fold<MemoryBackend>>, String> {
    match driver.store.begin_fold() {
        Err(StoreError::NoSpace(_)) => Ok(None),
        begun => begun.map_err(|error| error.to_string()),
    }
}

fn run(driver: &mut Driver, step: &Step) -> Result<Outcome, String> {
    let told = |error: StoreError| error.to_string();
    match step {
        Step::Commit(ops) => commit(driver, ops),
        Step::Fold => {
            let Some(fold) = begin_fold(driver)? else {
                return Ok(Outcome::Done);
            };
            driver
                .store
                .finish_fold(fold.run().map_err(told)?)
                .map_err(told)?;
            Ok(Outcome::Done)
        }
        Step::FoldAround(first, second) => {
            let fold = begin_fold(driver)?;
            let before = commit(driver, first)?;
            let folded = fold.map(|fold| fold.run()).transpose().map_err(told)?;
            // A refused step is taken again whole, so that its second half is not done alone.
            let after = match before {
                Outcome::Done => commit(driver, second)?,
                Outcome::Refused => Outcome::Refused,
            };
            if let Some(folded) = folded {
                driver.store.finish_fold(folded).map_err(told)?;
            }
            Ok(after)
        }
    }
}

fn open(disk: &MemoryBackend, known: Known) -> Result<Driver, String> {
    let (mut store, _) = Store::open(disk.clone(), tiny()).map_err(|error| error.to_string())?;
    let engine = put_engine(&mut store)?;
    Ok(Driver {
        store,
        known,
        engine,
    })
}

/// Whether missing space at such an operation may stop the store: only at a sync or a write-back
/// before it, whose outcome is unknown.
fn may_stop(disk: &MemoryBackend) -> bool {
    let met = disk.met().map(|met| met.kind);
    let may = [Operation::WriteBack, Operation::Sync, Operation::SyncDir];
    met.is_none_or(|kind| may.contains(&kind))
}

const WANTS: [Want; 3] = [Want::Disk, Want::Quota, Want::FileSize];

#[test]
fn i2_no_space_at_any_one_operation_refuses_at_most_one_step_and_loses_nothing() {
    for want in WANTS {
        no_space_at_any_one_operation(want);
    }
}

fn no_space_at_any_one_operation(want: Want) {
    let base = MemoryBackend::new();
    base.set_want(want);
    drop(open(&base, Known::default()).unwrap());
    let undisturbed = base.fork();
    let mut driver = open(&undisturbed, Known::default()).unwrap();
    for step in steps() {
        assert_eq!(run(&mut driver, &step), Ok(Outcome::Done));
    }
    let end = driver.known.acknowledged.clone();
    let (first, last) = (base.operations() + 1, undisturbed.operations());
    let (mut refused, mut stopped) = (0, 0);
    // How a write is cut off is the same for all of them.
    let shorts: &[bool] = if want == Want::Disk {
        &[false, true]
    } else {
        &[false]
    };
    for at in first..=last {
        for &is_cut_off in shorts {
            let disk = base.fork();
            let faults = if is_cut_off {
                Faults {
                    short_at: Some(at),
                    ..Faults::default()
                }
            } else {
                Faults {
                    full_at: Some(at),
                    ..Faults::default()
                }
            };
            let place =
                format!("{want:?}: no room at {at} of {first}..={last}, short {is_cut_off}");
            let again = life_with_fault(&disk, faults, &mut refused);
            let (mut driver, was_stopped) = again.unwrap_or_else(|e| panic!("{place}: {e}"));
            assert!(
                !was_stopped || may_stop(&disk),
                "{place} stopped: {:?}",
                disk.met()
            );
            stopped += u32::from(was_stopped);
            let found = contents(&mut driver.store).unwrap();
            assert!(
                found == end && found == driver.known.acknowledged,
                "{place}"
            );
            let report = driver.store.verify().unwrap();
            assert_eq!(report.damages, [], "{place}");
            drop(driver);
            for crash in [Crash::Lost, Crash::Torn { seed: at }] {
                let known = Known {
                    acknowledged: end.clone(),
                    ..Known::default()
                };
                check(&disk.crash(crash), &known).unwrap_or_else(|e| panic!("{place}: {e}"));
            }
        }
    }
    assert!(
        refused > 10 && stopped > 10,
        "refused {refused}, stopped {stopped}"
    );
}

/// The life, each refused step taken again; a store that stopped is opened again. Whether it was.
fn life_with_fault(
    disk: &MemoryBackend,
    faults: Faults,
    refused: &mut u32,
) -> Result<(Driver, bool), String> {
    let mut driver = open(disk, Known::default())?;
    // Counted from the same place for every run: what opening did was there before.
    disk.set_faults(faults);
    let mut stopped = false;
    for step in steps() {
        for attempt in 0.. {
            let outcome = run(&mut driver, &step);
            match outcome {
                Ok(Outcome::Done) => break,
                Ok(Outcome::Refused) if matches!(step, Step::FoldAround(..)) => {
                    *refused += 1;
                    finish_around(&mut driver, &step)?;
                    break;
                }
                Ok(Outcome::Refused) if attempt < 2 => *refused += 1,
                Ok(Outcome::Refused) => return Err(format!("{step:?} is refused for ever")),
                Err(why) if stopped => return Err(format!("stopped again: {why}")),
                Err(why) => {
                    stopped = true;
                    driver
                        .store
                        .latched()
                        .ok_or(format!("did not stop the store: {why}"))?;
                    let known = driver.known.clone();
                    drop(driver.store);
                    let (mut store, found) = reopen(disk, &known)?;
                    let engine = put_engine(&mut store)?;
                    let was_committed = Some(&found) == known.in_flight.as_ref();
                    let known = Known {
                        acknowledged: found,
                        ..Known::default()
                    };
                    driver = Driver {
                        store,
                        known,
                        engine,
                    };
                    if was_committed && matches!(step, Step::Commit(_)) {
                        break;
                    }
                    if let Step::FoldAround(..) = step {
                        finish_around(&mut driver, &step)?;
                        break;
                    }
                }
            }
        }
        let mut caught_up = Vec::new();
        driver
            .store
            .find_space(&mut caught_up)
            .map_err(|e| e.to_string())?;
        driver.finish_spills()?;
    }
    Ok((driver, stopped))
}

/// Takes what is missing of a step with two commits, in order: doing one twice changes nothing but
/// in logs and ends of vats, which tell by what is there.
fn finish_around(driver: &mut Driver, step: &Step) -> Result<(), String> {
    let Step::FoldAround(first, second) = step else {
        return Ok(());
    };
    for ops in [first, second] {
        let model = &driver.known.acknowledged;
        let missing: Vec<Op> = ops
            .iter()
            .filter(|op| match op {
                Op::Log(vat, bytes) => !model.vats[vat].log.ends_with(bytes),
                Op::Terminate(vat) => model.vats.contains_key(vat),
                _ => true,
            })
            .cloned()
            .collect();
        if !missing.is_empty() && commit(driver, &missing)? == Outcome::Refused {
            return Err("refused after opening again".to_owned());
        }
    }
    Ok(())
}

#[test]
fn i2_on_a_disk_of_any_size_nothing_is_half_done_and_space_is_all_it_needs_to_go_on() {
    for want in WANTS {
        on_a_disk_of_any_size(want);
    }
}

fn on_a_disk_of_any_size(want: Want) {
    let base = MemoryBackend::new();
    base.set_want(want);
    drop(open(&base, Known::default()).unwrap());
    let (least, mut most) = (base.taken(), base.taken());
    {
        let disk = base.fork();
        let mut driver = open(&disk, Known::default()).unwrap();
        for step in steps() {
            assert_eq!(run(&mut driver, &step), Ok(Outcome::Done));
            most = most.max(disk.taken());
        }
    }
    let (mut refused, mut whole) = (0_u64, 0);
    let sizes = if want == Want::Disk { 60 } else { 15 };
    let step_bytes = 4096 * (1 + (most - least) / 4096 / sizes);
    for capacity in (least..=most + step_bytes).step_by(step_bytes as usize) {
        for crash in [
            None,
            Some(Crash::Lost),
            Some(Crash::Kept),
            Some(Crash::Torn { seed: 3 }),
        ] {
            let place = format!("{want:?}: {capacity} of {least}..={most} bytes, {crash:?}");
            let disk = base.fork();
            disk.set_capacity(Some(capacity));
            let mut driver =
                open(&disk, Known::default()).unwrap_or_else(|e| panic!("{place}: {e}"));
            let mut missed = Vec::new();
            for step in steps() {
                // Later steps may need vats that earlier ones could not make.
                if !missed.is_empty() {
                    missed.push(step);
                    continue;
                }
                match run(&mut driver, &step).unwrap_or_else(|e| panic!("{place}: {e}")) {
                    Outcome::Done => {}
                    Outcome::Refused => missed.push(step),
                }
            }
            refused += u64::from(!missed.is_empty());
            whole += u32::from(missed.is_empty());
            // A turn that needs nothing new still works on the full disk.
            if driver.known.acknowledged.vats.contains_key(&1) {
                let small = Step::Commit(vec![Op::Heap(1, vec![(0, 0, vec![0xfeed])])]);
                // Where the journal's segments are all in use, a fold gives some back.
                let mut outcome = run(&mut driver, &small);
                if outcome == Ok(Outcome::Refused) {
                    run(&mut driver, &Step::Fold).unwrap();
                    outcome = run(&mut driver, &small);
                }
                let outcome = outcome.unwrap_or_else(|e| panic!("{place}: {e}"));
                assert_eq!(outcome, Outcome::Done, "{place}");
            }
            let mut disk = disk;
            if let Some(crash) = crash {
                let after = disk.crash(crash);
                let known = driver.known.clone();
                drop(driver);
                disk = after;
                let (mut store, found) =
                    reopen(&disk, &known).unwrap_or_else(|e| panic!("{place}: {e}"));
                let engine = put_engine(&mut store).unwrap();
                let known = Known {
                    acknowledged: found,
                    ..Known::default()
                };
                driver = Driver {
                    store,
                    known,
                    engine,
                };
            } else {
                disk.set_capacity(None);
                let mut caught_up = Vec::new();
                assert!(driver.store.find_space(&mut caught_up).unwrap(), "{place}");
            }
            for (n, step) in missed.iter().enumerate() {
                // The first of two commits may have been taken before the second was refused.
                match (n, step) {
                    (0, Step::FoldAround(..)) => finish_around(&mut driver, step).unwrap(),
                    _ => assert_eq!(run(&mut driver, step), Ok(Outcome::Done), "{place}"),
                }
            }
            assert!(!driver.store.is_space_low(), "{place}");
            let known = driver.known.clone();
            drop(driver);
            check(&disk, &known).unwrap_or_else(|e| panic!("{place}: {e}"));
        }
    }
    assert!(
        refused > sizes / 2 && whole > 0,
        "refused {refused}, went through {whole}"
    );
}

#[test]
fn i2_a_steady_turn_asks_the_disk_for_no_space() {
    let disk = MemoryBackend::new();
    let options = Options {
        segment_bytes: 64 << 10,
        ..tiny()
    };
    let (mut store, _) = Store::open(disk.clone(), options).unwrap();
    let engine = put_engine(&mut store).unwrap();
    let known = Known::default();
    let mut driver = Driver {
        store,
        known,
        engine,
    };
    let turn = |n: u64| {
        vec![
            Op::Heap(1, vec![(0, 1, vec![n]), (3, 7, vec![n; 3])]),
            Op::Log(1, b"a line\n".to_vec()),
            Op::Row(1, b"turns".to_vec(), Some(n.to_be_bytes().to_vec())),
        ]
    };
    driver.commit(&[Op::Create(1)]).unwrap();
    assert_eq!(commit(&mut driver, &turn(0)), Ok(Outcome::Done));
    let (before, operations) = (disk.allocations(), disk.operations());
    for n in 1..=3 {
        assert_eq!(commit(&mut driver, &turn(n)), Ok(Outcome::Done));
    }
    assert_eq!(disk.allocations(), before);
    // Frame and sync, two pages, one write to the log.
    assert_eq!(disk.operations() - operations, 3 * 5);
    // A page never touched costs one, whatever the number of turns that write to it.
    let grown = [Op::Heap(1, vec![(4, 0, vec![1]), (5, 0, vec![1])])];
    assert_eq!(commit(&mut driver, &grown), Ok(Outcome::Done));
    assert_eq!(commit(&mut driver, &grown), Ok(Outcome::Done));
    assert_eq!(disk.allocations(), before + 1);
}

#[test]
fn i2_a_birth_takes_space_for_the_pages_it_writes_and_for_no_zeros() {
    let disk = MemoryBackend::new();
    let mut driver = open(&disk, Known::default()).unwrap();
    // Pages 0 and 2 are the genesis image's.
    let born = |vat| {
        let words = |page| (page, 9, vec![7]);
        let runs = vec![words(0), words(5), (6, 9, vec![]), words(15)];
        vec![Op::Create(vat), Op::Heap(vat, runs)]
    };
    let before = disk.taken();
    let asked = reserve(&mut driver, &born(1));
    assert_eq!(asked, Ok(Outcome::Done));
    assert_eq!(disk.taken() - before, 4 * 4096, "pages 0, 2, 5 and 15");
    driver.commit(&born(1)).unwrap();
    // The next vat needs exactly what is left, so it is not refused.
    disk.set_capacity(Some(disk.taken() + 4 * 4096));
    assert_eq!(commit(&mut driver, &born(2)), Ok(Outcome::Done));
}

#[test]
fn i2_a_birth_that_is_refused_leaves_no_file_and_takes_no_space() {
    let disk = MemoryBackend::new();
    let mut driver = open(&disk, Known::default()).unwrap();
    let before = disk.taken();
    // Space for the two pages of the genesis image and for no third one.
    disk.set_capacity(Some(before + 2 * 4096));
    let born = [Op::Create(1), Op::Heap(1, vec![(5, 0, vec![1])])];
    assert_eq!(reserve(&mut driver, &born), Ok(Outcome::Refused));
    assert_eq!(disk.contents("heap/0000000000000001"), None);
    assert_eq!(disk.taken(), before);
    disk.set_capacity(None);
    assert_eq!(commit(&mut driver, &born), Ok(Outcome::Done));
}

/// A store without a ballast, whose pages stay in memory.
fn without_ballast(disk: &MemoryBackend) -> Driver {
    let options = Options {
        ballast_bytes: 0,
        cached_pages_max: 100,
        segment_bytes: 64 << 10,
        ..tiny()
    };
    let (mut store, _) = Store::open(disk.clone(), options).unwrap();
    let engine = put_engine(&mut store).unwrap();
    let known = Known::default();
    let mut driver = Driver {
        store,
        known,
        engine,
    };
    let pages = (4..16).map(|page| (page, 0, vec![7])).collect();
    driver.commit(&[Op::Create(1), Op::Heap(1, pages)]).unwrap();
    driver
}

#[test]
fn i2_pages_that_became_a_hole_need_space_again() {
    let disk = MemoryBackend::new();
    let mut driver = without_ballast(&disk);
    driver
        .commit(&[Op::Heap(1, vec![(4, 12, vec![])])])
        .unwrap();
    disk.set_capacity(Some(disk.taken()));
    // A page that has its space finds a place in the journal; so what is missing is the page's.
    let kept = [Op::Heap(1, vec![(0, 0, vec![1])])];
    assert_eq!(reserve(&mut driver, &kept), Ok(Outcome::Done));
    let again = [Op::Heap(1, vec![(5, 0, vec![1])])];
    assert_eq!(reserve(&mut driver, &again), Ok(Outcome::Refused));
    disk.set_capacity(None);
    assert_eq!(commit(&mut driver, &again), Ok(Outcome::Done));
}

#[test]
fn i2_space_taken_for_a_later_frame_does_not_go_with_the_hole_of_an_earlier_one() {
    let disk = MemoryBackend::new();
    let mut driver = without_ballast(&disk);
    driver.stage(&[Op::Heap(1, vec![(4, 12, vec![])])]).unwrap();
    let zeros = driver.store.seal().unwrap().unwrap().write().unwrap();
    driver.known.acknowledged = driver.known.in_flight.take().unwrap();
    driver.stage(&[Op::Heap(1, vec![(5, 0, vec![1])])]).unwrap();
    driver.store.apply(zeros).unwrap();
    disk.set_capacity(Some(disk.taken()));
    let words = driver.store.seal().unwrap().unwrap().write().unwrap();
    driver.store.apply(words).unwrap();
    driver.known.acknowledged = driver.known.in_flight.take().unwrap();
    assert!(!driver.store.has_backlog(VatId(1)));
    let found = contents(&mut driver.store).unwrap();
    assert_eq!(found, driver.known.acknowledged);
}

#[test]
fn j8_what_found_space_is_not_refused_in_the_frame_after_the_next_seal() {
    let disk = MemoryBackend::new();
    let mut driver = open(&disk, Known::default()).unwrap();
    driver.commit(&[Op::Create(1)]).unwrap();
    driver.store.fold().unwrap();
    let row = |key: u8, len: usize| Op::Row(1, vec![key], Some(vec![7; len]));
    let promised = row(0, 9000);
    let asked = reserve(&mut driver, std::slice::from_ref(&promised));
    assert_eq!(asked, Ok(Outcome::Done));
    // No further segment is made.
    disk.set_capacity(Some(disk.taken()));
    assert_eq!(commit(&mut driver, &[row(1, 10)]), Ok(Outcome::Done));
    let mut staged = 0;
    while reserve(&mut driver, &[row(2, 300)]).unwrap() == Outcome::Done {
        let part = part(&row(2, 300), driver.engine);
        driver.store.stage(part).unwrap();
        staged += 1;
    }
    assert!((1..20).contains(&staged), "{staged} rows found room");
    let part = part(&promised, driver.engine);
    driver.store.stage(part).expect("it was promised room");
    let durable = driver.store.seal().unwrap().unwrap().write().unwrap();
    driver.store.apply(durable).unwrap();
}

#[test]
fn i2_an_image_without_space_has_a_backlog_and_no_fold_passes_its_frame() {
    let disk = MemoryBackend::new();
    let mut driver = open(&disk, Known::default()).unwrap();
    driver.commit(&[Op::Create(1), Op::Create(2)]).unwrap();
    driver.store.fold().unwrap();
    driver
        .stage(&[
            Op::Heap(1, vec![(4, 0, vec![1; 9])]),
            Op::Log(1, vec![b'x'; 9]),
        ])
        .unwrap();
    let durable = driver.store.seal().unwrap().unwrap().write().unwrap();
    disk.break_promises();
    disk.set_capacity(Some(0));
    driver.store.apply(durable).unwrap();
    driver.known.acknowledged = driver.known.in_flight.take().unwrap();
    assert!(driver.store.has_backlog(VatId(1)) && driver.store.is_space_low());
    assert!(
        driver
            .store
            .image(VatId(1))
            .unwrap_err()
            .to_string()
            .contains("lacks committed changes")
    );
    driver.store.image(VatId(2)).unwrap();
    // Its worker goes on; the change joins the backlog.
    driver
        .commit(&[Op::Heap(1, vec![(4, 1, vec![2])])])
        .unwrap();
    assert!(matches!(
        driver.store.begin_fold(),
        Err(StoreError::NoSpace(_))
    ));
    assert!(driver.store.latched().is_none());
    let mut caught_up = Vec::new();
    // Whatever waits keeps its order, however often it is tried.
    for _ in 0..2 {
        assert!(!driver.store.find_space(&mut caught_up).unwrap() && caught_up.is_empty());
    }
    disk.set_capacity(None);
    driver.store.find_space(&mut caught_up).unwrap();
    assert_eq!(caught_up, [VatId(1)]);
    assert_eq!(
        contents(&mut driver.store).unwrap(),
        driver.known.acknowledged
    );
    driver.store.fold().unwrap();
    let known = driver.known.clone();
    drop(driver);
    check(&disk, &known).unwrap();
}

#[test]
fn i2_a_disk_stays_full_until_there_is_space_whatever_it_says_of_itself() {
    for want in WANTS {
        let disk = MemoryBackend::new();
        disk.set_want(want);
        let mut driver = open(&disk, Known::default()).unwrap();
        driver.commit(&[Op::Create(1)]).unwrap();
        let probe = |driver: &mut Driver| {
            driver.store.find_space(&mut Vec::new()).unwrap();
            driver.store.is_space_exhausted()
        };
        assert!(!probe(&mut driver), "{want:?}: the ballast is whole");
        let taken = disk.taken();
        disk.set_capacity(Some(taken + 4096));
        let large = [Op::Heap(
            1,
            vec![(4, 0, vec![1; 512]), (5, 0, vec![1; 512])],
        )];
        assert_eq!(commit(&mut driver, &large), Ok(Outcome::Refused));
        for _ in 0..3 {
            assert!(
                probe(&mut driver) && driver.store.is_space_low(),
                "{want:?}"
            );
        }
        assert!(disk.taken() <= taken + 4096);
        disk.set_capacity(Some(taken + (2 << 20)));
        assert!(
            !probe(&mut driver) && !driver.store.is_space_low(),
            "{want:?}"
        );
        assert_eq!(disk.taken(), taken, "{want:?}: a look takes nothing");
        assert_eq!(commit(&mut driver, &large), Ok(Outcome::Done));
    }
}

#[test]
fn a_frame_cut_off_inside_a_sector_stops_the_store_and_is_no_damage_afterwards() {
    let disk = MemoryBackend::new();
    let options = Options {
        ballast_bytes: 0,
        ..tiny()
    };
    let (mut store, _) = Store::open(disk.clone(), options).unwrap();
    let engine = put_engine(&mut store).unwrap();
    let known = Known::default();
    let mut driver = Driver {
        store,
        known,
        engine,
    };
    driver.commit(&[Op::Create(1)]).unwrap();
    driver
        .stage(&[Op::Heap(1, vec![(0, 0, vec![1; 70])])])
        .unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    let short_at = Some(disk.operations() + 1);
    disk.set_faults(Faults {
        short_at,
        ..Faults::default()
    });
    sealed.write().unwrap_err();
    assert!(driver.store.latched().is_some());
    // It never was: what is found is what was acknowledged.
    driver.known.in_flight = None;
    let known = driver.known.clone();
    drop(driver);
    for crash in [Crash::Lost, Crash::Kept] {
        check(&disk.crash(crash), &known).unwrap();
    }
    check(&disk.fork(), &known).unwrap();
}
