//! What a running fold, and one that has ended, must not change.
//!
//! Claims: reads during a fold return what was committed last; a vat that ended leaves nothing; a
//! fold begins only if there is space for what it will write; images that were written stay open
//! until the fold that syncs them.

use crate::common::*;
use kenvat_store::backend::memory::{Crash, MemoryBackend};
use kenvat_store::{Options, Store, StoreError, VatId};

fn driver_with(disk: &MemoryBackend, options: Options) -> Driver {
    let (mut store, _) = Store::open(disk.clone(), options).unwrap();
    let engine = put_engine(&mut store).unwrap();
    let known = Known::default();
    Driver {
        store,
        known,
        engine,
    }
}

fn row(key: &str, value: Option<&str>) -> Op {
    let value = value.map(|value| value.as_bytes().to_vec());
    Op::Row(1, key.as_bytes().to_vec(), value)
}

/// One row in a spill file.
fn large_row(vat: u64, key: &str, value: Vec<u8>) -> Op {
    let rows = vec![(1, key.as_bytes().to_vec(), value)];
    let large = Large {
        rows,
        ..Large::default()
    };
    Op::Large(vat, large)
}

#[test]
fn a_row_given_again_while_a_fold_runs_is_read_as_it_was_given_last() {
    let disk = MemoryBackend::new();
    let mut driver = driver_with(&disk, tiny());
    driver
        .commit(&[
            Op::Create(1),
            row("given", Some("first")),
            row("deleted", Some("first")),
            row("back", None),
            row("small", Some("first")),
            large_row(1, "large", vec![b'1'; 700]),
        ])
        .unwrap();
    let fold = driver.store.begin_fold().unwrap().unwrap();
    driver
        .commit(&[
            row("given", Some("last")),
            row("deleted", None),
            row("back", Some("last")),
            row("large", Some("last")),
            large_row(1, "small", vec![b'2'; 700]),
        ])
        .unwrap();
    let read = |driver: &Driver| {
        let found = &driver.known.acknowledged.rows;
        for key in ["given", "deleted", "back", "large", "small"] {
            let expected = found.get(&(1, key.as_bytes().to_vec()));
            let value = driver.store.get(1, key.as_bytes()).unwrap();
            assert_eq!(value.as_ref(), expected, "{key}");
        }
        let rows = found
            .iter()
            .map(|((_, key), value)| (key.clone(), value.clone()));
        let scanned = driver.store.scan(1, b"").unwrap();
        assert_eq!(scanned, rows.collect::<Vec<_>>());
    };
    read(&driver);
    let folded = fold.run().unwrap();
    read(&driver);
    driver.store.finish_fold(folded).unwrap();
    read(&driver);
    check(&disk.crash(Crash::Lost), &driver.known).unwrap();
}

#[test]
fn a_page_changed_again_while_a_fold_runs_is_checked_as_it_was_written_last() {
    let disk = MemoryBackend::new();
    let mut driver = driver_with(&disk, tiny());
    let heap = |page, value| Op::Heap(1, vec![(page, 3, vec![value])]);
    driver.commit(&[Op::Create(1), heap(5, 1)]).unwrap();
    let fold = driver.store.begin_fold().unwrap().unwrap();
    driver.commit(&[heap(5, 2)]).unwrap();
    let found = contents(&mut driver.store).unwrap();
    assert_eq!(found, driver.known.acknowledged);
    // Page 5 goes from memory, so that the next change of it reads and checks it.
    for page in 8..14 {
        driver.commit(&[heap(page, 1)]).unwrap();
    }
    driver.commit(&[heap(5, 3)]).unwrap();
    let found = contents(&mut driver.store).unwrap();
    assert_eq!(found, driver.known.acknowledged);
    driver.store.finish_fold(fold.run().unwrap()).unwrap();
    check(&disk.crash(Crash::Lost), &driver.known).unwrap();
}

#[test]
fn nothing_of_an_ended_vat_is_in_the_catalog_after_a_fold() {
    const OWN_TABLES: [u8; 4] = [254, 253, 250, 249];
    let disk = MemoryBackend::new();
    let mut driver = driver_with(&disk, tiny());
    let heap = Op::Heap(1, vec![(5, 3, vec![1])]);
    let log = Op::Log(1, b"line".to_vec());
    driver.commit(&[Op::Create(1), heap, log]).unwrap();
    driver.store.fold().unwrap();
    let key = 1u64.to_be_bytes();
    let rows =
        |driver: &Driver| OWN_TABLES.map(|table| driver.store.scan(table, &key).unwrap().len());
    assert_eq!(rows(&driver), [1, 1, 1, 0]);
    driver.commit(&[Op::Terminate(1)]).unwrap();
    driver.store.fold().unwrap();
    assert_eq!(rows(&driver), [0; 4]);
}

#[test]
fn many_images_written_make_a_fold_due_and_so_does_a_long_journal() {
    let disk = MemoryBackend::new();
    let options = Options {
        fold_bytes: 40 * 512,
        ..tiny()
    };
    let mut driver = driver_with(&disk, options);
    driver.commit(&[Op::Create(1)]).unwrap();
    assert!(!driver.store.fold_due());
    driver.commit(&[Op::Create(2)]).unwrap();
    assert!(driver.store.fold_due(), "as many images as are kept open");
    driver.store.fold().unwrap();
    assert!(!driver.store.fold_due());
    for _ in 0..40 {
        driver.commit(&[row("a", Some("1"))]).unwrap();
    }
    assert!(
        driver.store.fold_due(),
        "as many bytes of journal as asked for"
    );
}

#[test]
fn a_fold_begins_only_with_space_for_the_rows_that_are_in_spill_files() {
    let disk = MemoryBackend::new();
    let mut driver = driver_with(&disk, tiny());
    driver.commit(&[Op::Create(1)]).unwrap();
    driver.store.fold().unwrap();
    driver
        .commit(&[large_row(1, "large", vec![7; 4 << 20])])
        .unwrap();
    // Less than the catalog will take.
    disk.set_capacity(Some(disk.taken() + (4 << 20)));
    let begun = driver.store.begin_fold();
    assert!(matches!(begun, Err(StoreError::NoSpace(_))), "{begun:?}");
    assert!(driver.store.latched().is_none());
    disk.set_capacity(None);
    driver.store.fold().unwrap();
    check(&disk.crash(Crash::Lost), &driver.known).unwrap();
}

#[test]
fn images_written_to_stay_open_until_the_fold_that_syncs_them() {
    let disk = MemoryBackend::new();
    let mut driver = driver_with(&disk, tiny());
    // More than are kept open otherwise.
    let vats = 1..=6;
    let create: Vec<Op> = vats.clone().map(Op::Create).collect();
    driver.commit(&create).unwrap();
    driver.store.fold().unwrap();
    for vat in vats {
        let words = vec![(5, 3, vec![vat])];
        driver.commit(&[Op::Heap(vat, words)]).unwrap();
        // Reading opens images as well.
        driver.store.image(VatId(vat % 6 + 1)).unwrap();
    }
    driver.store.fold().unwrap();
    check(&disk.crash(Crash::Lost), &driver.known).unwrap();
}
