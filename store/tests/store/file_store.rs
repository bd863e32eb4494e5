//! The store on a real folder: committed things are found again.

use kenvat_store::{
    Delta, FileBackend, Folded, Genesis, OpenError, Options, Part, Row, Store, StoreError, push_run,
};

fn delta(runs: &[(u32, usize, u64)]) -> Delta {
    let mut bytes = Vec::new();
    for &(page, word, value) in runs {
        push_run(&mut bytes, page, word, &value.to_le_bytes());
    }
    Delta::parse(bytes, 16).unwrap()
}

#[test]
fn what_was_committed_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(FileBackend::new(dir.path()), Options::default()).unwrap();
    let (mut store, recovery) = open();
    assert!(recovery.created);
    let genesis = Genesis::from_delta(&delta(&[(0, 0, 1), (3, 5, 9)])).unwrap();
    let engine = store.put_engine(b"worker", &genesis).unwrap();
    let vat = store.next_vat_id();
    store
        .stage(Part::Create {
            vat,
            engine,
            page_limit: 16,
        })
        .unwrap();
    store
        .stage(Part::Heap {
            vat,
            delta: delta(&[(0, 1, 2), (7, 511, 3)]),
        })
        .unwrap();
    store
        .stage(Part::Log {
            vat,
            bytes: b"hello\n".to_vec(),
        })
        .unwrap();
    let row = Row {
        table: 1,
        key: b"k".to_vec(),
        value: Some(b"v".to_vec()),
    };
    store.stage(Part::Row(row)).unwrap();
    assert_eq!(store.get(1, b"k").unwrap(), None, "staged is not seen");
    let durable = store.seal().unwrap().unwrap().write().unwrap();
    store.apply(durable).unwrap();
    let check = |store: &mut Store<FileBackend>| {
        assert_eq!(store.get(1, b"k").unwrap().unwrap(), b"v");
        assert_eq!(store.log_read(vat, 0, 100).unwrap().bytes, b"hello\n");
        let image = store.image(vat).unwrap();
        assert_eq!(image.file.metadata().unwrap().len(), 16 * 4096);
        let mut bytes = vec![0; 16 * 4096];
        std::os::unix::fs::FileExt::read_exact_at(&image.file, &mut bytes, 0).unwrap();
        let word = |page: usize, word: usize| bytes[page * 4096 + word * 8];
        assert_eq!(
            (word(0, 0), word(0, 1), word(3, 5), word(7, 511)),
            (1, 2, 9, 3)
        );
        assert!(
            std::os::unix::fs::FileExt::write_at(&image.file, b"x", 0).is_err(),
            "I1"
        );
        store.heap_sha256(vat).unwrap()
    };
    let hash = check(&mut store);
    drop(store);
    let (mut store, recovery) = open();
    assert_eq!((recovery.created, recovery.frames_applied), (false, 1));
    assert_eq!(check(&mut store), hash);
    store.close().unwrap();
    let (mut store, recovery) = open();
    assert_eq!(recovery.frames_applied, 0);
    assert_eq!(check(&mut store), hash);
    assert_eq!(store.engine(engine).unwrap(), b"worker");
    store.stage(Part::Terminate { vat }).unwrap();
    let durable = store.seal().unwrap().unwrap().write().unwrap();
    store.apply(durable).unwrap();
    store.close().unwrap();
    let (mut store, _) = open();
    assert_eq!(store.vats(), []);
    assert!(store.next_vat_id() > vat);
    assert_eq!(
        std::fs::read_dir(dir.path().join("heap")).unwrap().count(),
        0
    );
    assert_eq!(store.remove_unused_engines(&[]).unwrap(), [engine]);
}

/// A fold on its way, on a thread of its own.
type Folding = std::thread::JoinHandle<Result<Folded<FileBackend>, StoreError>>;

#[test]
fn frames_are_written_and_folds_run_on_other_threads() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        fold_bytes: 64 << 10,
        segment_bytes: 256 << 10,
        ..Options::default()
    };
    let open = || {
        Store::open(FileBackend::new(dir.path()), options.clone())
            .unwrap()
            .0
    };
    let mut store = open();
    let genesis = Genesis::from_delta(&delta(&[(0, 0, 1)])).unwrap();
    let engine = store.put_engine(b"worker", &genesis).unwrap();
    let vat = store.next_vat_id();
    store
        .stage(Part::Create {
            vat,
            engine,
            page_limit: 16,
        })
        .unwrap();
    let mut immutable: Option<Folding> = None;
    let mut folds = 0;
    for n in 1..=600u64 {
        let sealed = {
            let value = Some(vec![n as u8; 300]);
            store
                .stage(Part::Row(Row {
                    table: 0,
                    key: vec![n as u8],
                    value,
                }))
                .unwrap();
            store
                .stage(Part::Heap {
                    vat,
                    delta: delta(&[(n as u32 % 16, 9, n)]),
                })
                .unwrap();
            store.seal().unwrap().unwrap()
        };
        let writing = std::thread::spawn(move || sealed.write());
        // The next frame fills meanwhile.
        store
            .stage(Part::Log {
                vat,
                bytes: format!("{n}\n").into_bytes(),
            })
            .unwrap();
        store.apply(writing.join().unwrap().unwrap()).unwrap();
        if immutable.as_ref().is_some_and(Folding::is_finished) {
            let handle = immutable.take().unwrap();
            store.finish_fold(handle.join().unwrap().unwrap()).unwrap();
            folds += 1;
        }
        if store.fold_due() {
            let fold = store.begin_fold().unwrap().unwrap();
            immutable = Some(std::thread::spawn(move || fold.run()));
        }
    }
    if let Some(handle) = immutable {
        store.finish_fold(handle.join().unwrap().unwrap()).unwrap();
        folds += 1;
    }
    assert!(folds > 2, "{folds} folds");
    let durable = store.seal().unwrap().unwrap().write().unwrap();
    store.apply(durable).unwrap();
    let hash = store.heap_sha256(vat).unwrap();
    drop(store);
    let mut store = open();
    assert_eq!(store.heap_sha256(vat).unwrap(), hash);
    let log: String = (1..=600).map(|n| format!("{n}\n")).collect();
    assert_eq!(
        store.log_read(vat, 0, 1 << 20).unwrap().bytes,
        log.as_bytes()
    );
    assert_eq!(store.get(0, &[88]).unwrap().unwrap(), vec![88; 300]);
    assert_eq!(store.verify().unwrap().damages, []);
    drop(store);
    assert_eq!(
        kenvat_store::verify(FileBackend::new(dir.path()))
            .unwrap()
            .damages,
        []
    );
}

#[test]
fn a_second_opener_is_refused_with_the_pid_and_an_empty_folder_is_no_store_to_verify() {
    let dir = tempfile::tempdir().unwrap();
    let empty = kenvat_store::verify(FileBackend::new(dir.path().join("none")));
    assert!(
        matches!(empty, Err(OpenError::NotAStore { .. })),
        "{empty:?}"
    );
    assert!(!dir.path().join("none").exists());
    let _store = Store::open(FileBackend::new(dir.path()), Options::default()).unwrap();
    let second = Store::open(FileBackend::new(dir.path()), Options::default());
    let Err(OpenError::InUse { pid, .. }) = second else {
        panic!("{second:?}")
    };
    assert_eq!(pid, std::process::id());
    assert!(matches!(
        kenvat_store::verify(FileBackend::new(dir.path())),
        Err(OpenError::InUse { .. })
    ));
}
