//! Spill files (J7) of changes, rows and log: durable before a frame names them, applied once the
//! frame is durable, removed once it is folded. A damaged one stops its vat and no other.

use crate::common::*;
use kenvat_store::backend::memory::{Crash, Faults, MemoryBackend};
use kenvat_store::options::{ENGINE_TABLES, ROW_KEY_BYTES_MAX, ROW_VALUE_BYTES_MAX};
use kenvat_store::{
    CHUNK_BYTES_MAX, Damage, ImageError, Options, Part, SpillFileError, Store, VatId, verify,
};

const SIDE: &str = "side/";

fn driver(disk: &MemoryBackend) -> Driver {
    let (mut store, _) = Store::open(disk.clone(), tiny()).unwrap();
    let engine = put_engine(&mut store).unwrap();
    let known = Known::default();
    let mut driver = Driver {
        store,
        known,
        engine,
    };
    driver.commit(&[Op::Create(1), Op::Create(2)]).unwrap();
    driver
}

fn large() -> Op {
    let chunks = vec![
        vec![(0, 3, vec![1; 9]), (1, 0, vec![2; 512])],
        vec![(2, 0, vec![3; 512]), (4, 10, vec![]), (15, 511, vec![4])],
    ];
    Op::Spill(1, chunks)
}

fn spills(disk: &MemoryBackend) -> Vec<String> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.starts_with(SIDE)).collect()
}

#[test]
fn a_spill_file_is_synced_with_its_entry_before_the_frame_and_costs_that_no_sync() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    // From here on only the spill file changes the image.
    driver.store.fold().unwrap();
    let before = disk.syncs();
    driver.stage(&[large()]).unwrap();
    assert_eq!(disk.syncs() - before, 2, "the file and its folder");
    assert!(
        spills(&disk.crash(Crash::Lost)).len() == 1,
        "it is durable, and named by nobody"
    );
    let staged = driver.store.staged_bytes();
    assert!(staged < 100, "{staged} bytes in the frame");
    let before = disk.syncs();
    let sealed = driver.store.seal().unwrap().unwrap();
    driver.store.apply(sealed.write().unwrap()).unwrap();
    assert_eq!(disk.syncs() - before, 1);
    assert!(matches!(
        driver.store.image(VatId(1)),
        Err(ImageError::BeingApplied(_))
    ));
    driver
        .store
        .image(VatId(2))
        .expect("the other vat is not concerned");
    assert!(
        driver.store.begin_fold().unwrap().is_none(),
        "its frame is still needed"
    );
    driver.known.acknowledged = driver.known.in_flight.take().unwrap();
    driver.finish_spills().unwrap();
    assert_eq!(
        contents(&mut driver.store).unwrap(),
        driver.known.acknowledged
    );
    assert_eq!(spills(&disk).len(), 1);
    check(&disk.crash(Crash::Lost), &driver.known).unwrap();
    driver.store.fold().unwrap();
    assert!(spills(&disk).is_empty());
    check(&disk.crash(Crash::Lost), &driver.known).unwrap();
}

#[test]
fn what_no_frame_names_goes_when_dropped_and_at_the_next_open() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    let Op::Spill(_, chunks) = large() else {
        panic!()
    };
    let spill = driver.spill(1, &chunks).unwrap();
    assert_eq!((spills(&disk).len(), spill.pages()), (1, 14));
    drop(spill);
    assert!(spills(&disk).is_empty());
    let mut half = driver.store.begin_spill(VatId(1), PAGES).unwrap();
    half.push(delta(&chunks[0]).as_bytes()).unwrap();
    assert_eq!(spills(&disk).len(), 1);
    let crashed = disk.crash(Crash::Kept);
    drop(half);
    assert!(spills(&disk).is_empty());
    let _spill = driver.spill(1, &chunks).unwrap();
    for disk in [crashed, disk.crash(Crash::Kept)] {
        let (_, recovery) = Store::open(disk.clone(), tiny()).unwrap();
        assert!(spills(&disk).is_empty());
        assert!(
            recovery.removed.iter().any(|path| path.starts_with(SIDE)),
            "{recovery:?}"
        );
        check(&disk, &driver.known).unwrap();
    }
}

#[test]
fn chunks_that_break_the_rules_are_refused_as_their_senders_fault() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    let words = |page| delta(&[(page, 0, vec![1])]).as_bytes().to_vec();
    let mut refuse = |chunks: &[Vec<u8>]| {
        let mut writer = driver.store.begin_spill(VatId(1), PAGES).unwrap();
        let (last, first) = chunks.split_last().unwrap();
        first.iter().for_each(|chunk| writer.push(chunk).unwrap());
        writer.push(last).unwrap_err()
    };
    assert!(matches!(
        refuse(&[words(3), words(3)]),
        SpillFileError::Delta(_)
    ));
    assert!(matches!(
        refuse(&[words(3), words(2)]),
        SpillFileError::Delta(_)
    ));
    assert!(matches!(
        refuse(&[words(3), vec![1]]),
        SpillFileError::Delta(_)
    ));
    let beyond = [&[99, 0, 0, 0][..], &words(0)[4..]].concat();
    assert!(matches!(refuse(&[beyond]), SpillFileError::Delta(_)));
    let long = vec![0; CHUNK_BYTES_MAX + 1];
    assert!(matches!(
        refuse(&[long]),
        SpillFileError::PieceTooLong { .. }
    ));
    assert!(spills(&disk).is_empty());
    driver.commit(&[large()]).unwrap();
}

/// Every byte flipped, and the file lost and cut: while its frame may have to be applied again.
#[test]
fn damage_in_a_spill_file_stops_its_vat_for_good_and_is_told_with_file_place_and_vat() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver
        .commit(&[large(), Op::Row(1, b"k".to_vec(), Some(b"v".to_vec()))])
        .unwrap();
    let path = spills(&disk).pop().unwrap();
    let length = disk.contents(&path).unwrap().len() as u64;
    let damaged = |damage: &dyn Fn(&MemoryBackend)| {
        let disk = disk.crash(Crash::Lost);
        damage(&disk);
        disk
    };
    let told = |disk: &MemoryBackend| -> Damage {
        let report = verify(disk.clone()).unwrap();
        let of_spill = report.damages.iter().filter(|damage| damage.file == path);
        let of_spill: Vec<_> = of_spill.collect();
        assert_eq!(of_spill.len(), 1, "{report:?}");
        of_spill[0].clone()
    };
    for at in (0..length).step_by(37).chain([length - 1]) {
        let disk = damaged(&|disk| disk.flip(&path, at, 4));
        let damage = told(&disk);
        assert!(
            damage.offset <= at && damage.vat == Some(VatId(1)),
            "{at}: {damage}"
        );
    }
    let cut = |disk: &MemoryBackend| disk.rewrite(&path, |bytes| bytes.truncate(100));
    let lost = |disk: &MemoryBackend| disk.lose(&path);
    let flipped = |disk: &MemoryBackend| disk.flip(&path, length - 1, 1);
    let deeds: [&dyn Fn(&MemoryBackend); 3] = [&cut, &lost, &flipped];
    for deed in deeds {
        let disk = damaged(deed);
        // Also after a fold has passed the frame, and a fold more.
        for folds in [true, true, false] {
            let (mut store, _) = Store::open(disk.clone(), tiny()).unwrap();
            let Err(ImageError::Damaged(damage)) = store.image(VatId(1)) else {
                panic!("a vat that lost a commit starts")
            };
            assert_eq!((&damage.file, damage.vat), (&path, Some(VatId(1))));
            store.image(VatId(2)).unwrap();
            assert_eq!(store.get(1, b"k").unwrap().unwrap(), b"v");
            if folds {
                store.fold().unwrap();
            }
        }
        assert_eq!(told(&disk).vat, Some(VatId(1)));
        let (mut store, _) = Store::open(disk.clone(), tiny()).unwrap();
        store.stage(Part::Terminate { vat: VatId(1) }).unwrap();
        let sealed = store.seal().unwrap().unwrap();
        store.apply(sealed.write().unwrap()).unwrap();
        store.fold().unwrap();
        drop(store);
        Store::open(disk.clone(), tiny()).unwrap();
        assert!(spills(&disk).is_empty(), "nothing is left of an ended vat");
        assert!(verify(disk).unwrap().damages.is_empty());
    }
}

#[test]
fn rot_in_a_page_it_changes_in_part_gets_no_fresh_checksum() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver
        .commit(&[Op::Heap(1, vec![(0, 0, vec![7; 512])])])
        .unwrap();
    disk.flip("heap/0000000000000001", 4000, 1);
    let mut writer = driver.store.begin_spill(VatId(1), PAGES).unwrap();
    writer
        .push(delta(&[(0, 3, vec![1; 9])]).as_bytes())
        .unwrap();
    let base = driver.store.spill_base(VatId(1)).unwrap();
    match writer.finish(Some(&base)) {
        Err(SpillFileError::Damaged(damage)) => {
            assert_eq!(damage.file, "heap/0000000000000001");
            assert_eq!(damage.vat, Some(VatId(1)));
        }
        other => panic!("{other:?}"),
    }
    assert!(spills(&disk).is_empty());
}

#[test]
fn a_vat_that_ends_while_its_spill_file_is_applied_leaves_nothing() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.stage(&[large()]).unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    driver.store.apply(sealed.write().unwrap()).unwrap();
    let jobs = driver.store.take_spill_jobs();
    driver
        .store
        .stage(Part::Terminate { vat: VatId(1) })
        .unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    driver.store.apply(sealed.write().unwrap()).unwrap();
    for job in jobs {
        driver.store.finish_spill(job.run().unwrap()).unwrap();
    }
    driver.store.fold().unwrap();
    assert!(spills(&disk).is_empty());
    drop(driver.store);
    assert!(verify(disk).unwrap().damages.is_empty());
}

#[test]
fn a_vat_that_ends_while_its_spill_file_waits_for_space_leaves_nothing() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.stage(&[large()]).unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    disk.break_promises();
    disk.set_capacity(Some(0));
    driver.store.apply(sealed.write().unwrap()).unwrap();
    driver.finish_spills().unwrap();
    assert!(driver.store.has_backlog(VatId(1)));
    driver
        .store
        .stage(Part::Terminate { vat: VatId(1) })
        .unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    driver.store.apply(sealed.write().unwrap()).unwrap();
    assert!(!driver.store.has_backlog(VatId(1)));
    disk.set_capacity(None);
    driver.store.find_space(&mut Vec::new()).unwrap();
    driver.store.fold().unwrap();
    assert!(spills(&disk).is_empty());
}

#[test]
fn log_of_a_spill_file_that_finds_no_space_stays_before_what_came_later() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.stage(&[set(vec![], &[], b"first ")]).unwrap();
    let sealed = driver.store.seal().unwrap().unwrap();
    driver.known.acknowledged = driver.known.in_flight.take().unwrap();
    disk.break_promises();
    driver.store.apply(sealed.write().unwrap()).unwrap();
    let jobs = driver.store.take_spill_jobs();
    driver.commit(&[Op::Log(1, b"second".to_vec())]).unwrap();
    disk.break_promises();
    disk.set_capacity(Some(0));
    for job in jobs {
        driver.store.finish_spill(job.run().unwrap()).unwrap();
    }
    assert!(driver.store.has_backlog(VatId(1)));
    disk.set_capacity(None);
    driver.store.find_space(&mut Vec::new()).unwrap();
    let found = contents(&mut driver.store).unwrap();
    assert_eq!(found, driver.known.acknowledged);
    check(&disk.crash(Crash::Lost), &driver.known).unwrap();
}

/// A row in a spill file; all bytes of its value are the same.
fn row_of(value: u8) -> Op {
    let large = Large {
        rows: vec![(1, b"a".to_vec(), vec![value; 700])],
        ..Large::default()
    };
    Op::Large(1, large)
}

#[test]
fn another_file_of_the_same_number_and_length_is_not_taken_for_the_one_the_frame_names() {
    let before = MemoryBackend::new();
    drop(driver(&before).store);
    // Two lives that begin the same give their files the same numbers and keys.
    let lives = [1, 2].map(|value| {
        let disk = before.fork();
        let (mut store, _) = Store::open(disk.clone(), tiny()).unwrap();
        let known = Known {
            acknowledged: contents(&mut store).unwrap(),
            ..Known::default()
        };
        let engine = store.engines()[0].hash;
        let mut driver = Driver {
            store,
            known,
            engine,
        };
        driver.commit(&[row_of(value)]).unwrap();
        disk.crash(Crash::Lost)
    });
    let path = spills(&lives[0]).pop().unwrap();
    assert_eq!(spills(&lives[1]), [&path[..]]);
    let other = lives[1].contents(&path).unwrap();
    assert_ne!(lives[0].contents(&path).unwrap(), other);
    lives[0].rewrite(&path, |bytes| *bytes = other);
    let (mut store, recovery) = Store::open(lives[0].clone(), tiny()).unwrap();
    let told: Vec<_> = recovery.damages.iter().map(|found| &found.file).collect();
    assert_eq!(told, [&path]);
    assert_eq!(
        store.get(1, b"a").unwrap(),
        None,
        "not the other file's row"
    );
    assert!(matches!(store.image(VatId(1)), Err(ImageError::Damaged(_))));
}

#[test]
fn a_spill_file_put_in_anothers_place_is_not_read() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver.commit(&[row_of(1)]).unwrap();
    driver.commit(&[row_of(2)]).unwrap();
    let [first, second] = &spills(&disk)[..] else {
        panic!("one file a commit")
    };
    let other = disk.contents(first).unwrap();
    disk.rewrite(second, |bytes| *bytes = other);
    assert!(driver.store.get(1, b"a").is_err());
}

#[test]
fn a_failing_disk_latches_while_a_spill_file_is_made() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    let next = Some(disk.operations() + 2);
    disk.set_faults(Faults {
        fail_at: next,
        ..Faults::default()
    });
    driver.commit(&[large()]).unwrap_err();
    assert!(driver.store.latched().is_some());
    check(&disk.fork(), &driver.known).unwrap();
}

#[test]
fn recovery_keeps_the_order_of_words_and_spill_files_on_one_page() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    // Each names word 4 of page 0; the last one to name it counts.
    let words = |value| Op::Heap(1, vec![(0, 4, vec![value])]);
    let spill = || Op::Spill(1, vec![vec![(0, 3, vec![7; 9])]]);
    for ops in [[words(1)], [spill()], [words(2)], [words(3)], [spill()]] {
        driver.commit(&ops).unwrap();
        for crash in [Crash::Lost, Crash::Kept] {
            check(&disk.crash(crash), &driver.known).unwrap();
        }
    }
}

/// Rows and log, with a delta or without one.
fn set(chunks: Vec<Vec<RunOf>>, rows: &[(&[u8], usize)], log: &[u8]) -> Op {
    let row = |&(key, len): &(&[u8], usize)| (1, key.to_vec(), vec![key[0]; len]);
    let large = Large {
        chunks,
        rows: rows.iter().map(row).collect(),
        log: log.to_vec(),
    };
    Op::Large(1, large)
}

#[test]
fn j7_rows_and_log_too_large_for_a_frame_are_durable_before_it_and_read_from_their_file() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    // Larger than a chunk of a delta may be.
    let bytes = CHUNK_BYTES_MAX + 5000;
    let rows: [(&[u8], usize); 2] = [(b"a", bytes), (b"b", 3)];
    let before = disk.syncs();
    let ops = [
        Op::Heap(1, vec![(1, 1, vec![1])]),
        set(vec![], &rows, &[b'l'; 9000]),
    ];
    driver.stage(&ops).unwrap();
    assert_eq!(disk.syncs() - before, 2, "the file and its folder");
    let staged = driver.store.staged_bytes();
    assert!(staged < 200, "{staged} bytes in the frame");
    assert_eq!(driver.store.get(1, b"b").unwrap(), None);
    let before = disk.syncs();
    let sealed = driver.store.seal().unwrap().unwrap();
    driver.store.apply(sealed.write().unwrap()).unwrap();
    assert_eq!(disk.syncs() - before, 1);
    driver.known.acknowledged = driver.known.in_flight.take().unwrap();
    check(&disk.crash(Crash::Lost), &driver.known).unwrap();
    // The rows are readable at once, before the job ran; another vat commits meanwhile.
    assert_eq!(driver.store.get(1, b"a").unwrap(), Some(vec![b'a'; bytes]));
    let jobs = driver.store.take_spill_jobs();
    driver
        .commit(&[Op::Heap(2, vec![(0, 0, vec![9])]), Op::Log(1, vec![b'm'])])
        .unwrap();
    for job in jobs {
        driver.store.finish_spill(job.run().unwrap()).unwrap();
    }
    let found = contents(&mut driver.store).unwrap();
    assert_eq!(
        found, driver.known.acknowledged,
        "log in the order of frames"
    );
    for folded in [false, true] {
        check(&disk.crash(Crash::Lost), &driver.known).unwrap();
        assert_eq!(spills(&disk).len(), usize::from(!folded));
        driver.store.fold().unwrap();
        let found = contents(&mut driver.store).unwrap();
        assert_eq!(found, driver.known.acknowledged);
    }
}

#[test]
fn rows_of_a_spill_file_are_overwritten_deleted_and_found_in_order_like_any_others() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    let row =
        |key: &[u8], value: Option<&[u8]>| Op::Row(1, key.to_vec(), value.map(<[u8]>::to_vec));
    driver
        .commit(&[row(b"a", Some(b"old")), row(b"b", Some(b"old"))])
        .unwrap();
    driver.store.fold().unwrap();
    driver
        .commit(&[
            row(b"c", Some(b"first")),
            set(vec![], &[(b"a", 9), (b"c", 9), (b"d", 9)], b""),
        ])
        .unwrap();
    driver
        .commit(&[row(b"a", None), row(b"d", Some(b"last"))])
        .unwrap();
    let expected: Vec<(Vec<u8>, Vec<u8>)> = [("b", "old"), ("c", "ccccccccc"), ("d", "last")]
        .map(|(key, value)| (key.into(), value.into()))
        .into();
    for folds in 0..2 {
        assert_eq!(driver.store.scan(1, b"").unwrap(), expected);
        check(&disk.crash(Crash::Lost), &driver.known).unwrap();
        if folds == 0 {
            driver.store.fold().unwrap();
        }
    }
}

#[test]
fn a_log_longer_than_its_files_is_cut_as_if_it_had_come_in_chunks() {
    let file = tiny().log_file_bytes as usize;
    for lead in [0, 1, file - 1, file, 3 * file + 7] {
        let log: Vec<u8> = (0..5 * file + 77).map(|n| (n / 900) as u8).collect();
        let (at_once, by_chunks) = (MemoryBackend::new(), MemoryBackend::new());
        for (disk, is_at_once) in [(&at_once, true), (&by_chunks, false)] {
            let mut driver = driver(disk);
            driver.commit(&[Op::Log(1, vec![b'-'; lead])]).unwrap();
            driver.store.fold().unwrap();
            match is_at_once {
                true => driver.commit(&[set(vec![], &[], &log)]).unwrap(),
                false => {
                    let chunks = log.chunks(40_000).map(|chunk| Op::Log(1, chunk.to_vec()));
                    for chunk in chunks {
                        driver.commit(&[chunk]).unwrap();
                        driver.store.fold().unwrap();
                    }
                }
            }
            driver.commit(&[Op::Log(1, b"more".to_vec())]).unwrap();
            assert_eq!(driver.store.verify().unwrap().damages, []);
        }
        let read = |disk: &MemoryBackend| {
            let (store, _) = Store::open(disk.crash(Crash::Lost), tiny()).unwrap();
            store.log_read(VatId(1), 0, usize::MAX).unwrap()
        };
        let found = read(&at_once);
        assert_eq!(found, read(&by_chunks), "{lead}");
        assert!(found.bytes.ends_with(b"more"));
        let whole =
            |disk: &MemoryBackend, half: &str| disk.contents(&format!("logs/{}{half}", VatId(1)));
        for half in ["", ".1"] {
            assert!(
                whole(&at_once, half) == whole(&by_chunks, half),
                "{lead}{half}"
            );
        }
    }
}

#[test]
fn rows_a_store_would_not_take_are_refused_before_they_are_written() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    let mut writer = driver.store.begin_spill(VatId(1), PAGES).unwrap();
    let refused = |refused: Result<(), SpillFileError>| {
        assert!(matches!(refused, Err(SpillFileError::Row(_))))
    };
    refused(writer.push_row(ENGINE_TABLES, vec![1], b""));
    refused(writer.push_row(1, vec![1; ROW_KEY_BYTES_MAX + 1], b""));
    refused(writer.push_row(1, vec![1], &vec![0; ROW_VALUE_BYTES_MAX + 1]));
    writer
        .push(delta(&[(0, 3, vec![1; 9])]).as_bytes())
        .unwrap();
    assert!(matches!(writer.finish(None), Err(SpillFileError::Store(_))));
    assert!(spills(&disk).is_empty());
}

/// Found by the fold that would write the row to the catalog: what the frame itself says of it
/// stands, its vat does not go on, and everything else does.
#[test]
fn j7_a_row_damaged_before_it_is_folded_is_told_for_good_and_no_other_row_is_lost() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    let row = |key: &[u8], value: &[u8]| Op::Row(1, key.to_vec(), Some(value.to_vec()));
    driver
        .commit(&[
            row(b"a", b"gone"),
            row(b"k", b"v"),
            set(vec![], &[(b"a", 900), (b"b", 900), (b"c", 900)], b"said"),
        ])
        .unwrap();
    let path = spills(&disk).pop().unwrap();
    for at in [100, 1000] {
        disk.flip(&path, at, 2);
    }
    assert!(driver.store.get(1, b"a").is_err());
    let whole = Some(vec![b'c'; 900]);
    assert_eq!(driver.store.get(1, b"c").unwrap(), whole);
    driver.store.image(VatId(1)).expect("nobody has noticed");
    driver.store.fold().unwrap();
    for _ in 0..2 {
        let Err(ImageError::Damaged(damage)) = driver.store.image(VatId(1)) else {
            panic!("a vat that lost a row starts")
        };
        assert_eq!((&damage.file, damage.vat), (&path, Some(VatId(1))));
        assert_eq!(driver.store.get(1, b"a").unwrap(), Some(b"gone".to_vec()));
        assert_eq!(driver.store.get(1, b"b").unwrap(), None);
        assert_eq!(driver.store.get(1, b"c").unwrap(), whole);
        assert_eq!(driver.store.get(1, b"k").unwrap(), Some(b"v".to_vec()));
        assert_eq!(spills(&disk), [&path[..]], "the file stays");
        driver.store.image(VatId(2)).unwrap();
        let report = driver.store.verify().unwrap();
        assert!(report.damages.iter().any(|damage| damage.file == path));
        driver
            .commit(&[Op::Heap(2, vec![(0, 0, vec![3])])])
            .unwrap();
        driver.store.fold().unwrap();
        drop(driver.store);
        driver.store = Store::open(disk.clone(), tiny()).unwrap().0;
    }
    driver.commit(&[Op::Terminate(1)]).unwrap();
    driver.store.fold().unwrap();
    drop(driver.store);
    Store::open(disk.clone(), tiny()).unwrap();
    assert!(spills(&disk).is_empty());
}

#[test]
fn j7_a_damaged_set_is_not_done_in_part_and_stops_its_vat_alone() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    driver
        .commit(&[
            Op::Row(1, b"a".to_vec(), Some(b"gone".to_vec())),
            set(
                vec![vec![(3, 3, vec![3; 9])]],
                &[(b"a", 700), (b"b", 30)],
                &[b'l'; 500],
            ),
        ])
        .unwrap();
    let path = spills(&disk).pop().unwrap();
    let length = disk.contents(&path).unwrap().len() as u64;
    for at in (0..length).step_by(11).chain([length - 1]) {
        let disk = disk.crash(Crash::Lost);
        disk.flip(&path, at, 1);
        for _ in 0..2 {
            let (mut store, recovery) = Store::open(disk.clone(), tiny()).unwrap();
            let told: Vec<_> = recovery.damages.iter().map(|found| &found.file).collect();
            assert_eq!(told, [&path], "{at}");
            assert!(matches!(store.image(VatId(1)), Err(ImageError::Damaged(_))));
            assert_eq!(store.get(1, b"a").unwrap(), Some(b"gone".to_vec()));
            assert_eq!(store.get(1, b"b").unwrap(), None);
            assert_eq!(store.log_read(VatId(1), 0, 9).unwrap().next, 0);
            store.image(VatId(2)).unwrap();
            store.fold().unwrap();
        }
    }
}

#[test]
fn many_bytes_of_spill_files_make_a_fold_due_and_more_wait_for_it() {
    let disk = MemoryBackend::new();
    let mut driver = driver(&disk);
    let options = Options {
        fold_bytes: 1 << 30,
        fold_spill_bytes: 3000,
        spill_bytes_max: 5000,
        ..tiny()
    };
    drop(driver.store);
    driver.store = Store::open(disk.clone(), options).unwrap().0;
    driver.store.fold().unwrap();
    let mut due = Vec::new();
    for _ in 0..3 {
        driver.commit(&[set(vec![], &[(b"a", 2000)], b"")]).unwrap();
        due.push((driver.store.fold_due(), driver.store.spill_is_full()));
    }
    assert_eq!(due, [(false, false), (true, false), (true, true)]);
    let fold = driver.store.begin_fold().unwrap().unwrap();
    assert!(
        driver.store.spill_is_full(),
        "they are there until it is over"
    );
    let folded = fold.run().unwrap();
    driver.store.finish_fold(folded).unwrap();
    assert!(!driver.store.spill_is_full() && spills(&disk).is_empty());
}
