//! Files that are missing, cut, flipped, or another store's.
//!
//! Claims: each is refused, or marked, by the name of the file; what is damaged of one vat leaves
//! the others; no wrong value is ever returned; `verify` names every flipped byte of every file and
//! changes nothing.

use crate::common::*;
use kenvat_store::backend::memory::MemoryBackend;
use kenvat_store::{Damage, ImageError, OpenError, Part, StageError, Store, VatId, verify};

/// A store with something in every kind of file, closed; and with frames after its last fold.
fn furnished(folds: bool) -> (MemoryBackend, Model) {
    let disk = MemoryBackend::new();
    let (mut store, _) = Store::open(disk.clone(), tiny()).unwrap();
    let engine = put_engine(&mut store).unwrap();
    let mut driver = Driver {
        store,
        known: Known::default(),
        engine,
    };
    driver
        .commit(&[
            Op::Create(1),
            Op::Heap(1, vec![(0, 1, vec![5]), (4, 0, vec![6; 200])]),
            Op::Log(1, b"one line\n".repeat(20)),
            Op::Create(2),
            Op::Heap(2, vec![(1, 3, vec![9; 20])]),
            Op::Row(1, b"key".to_vec(), Some(b"a value".to_vec())),
            Op::Row(2, b"other".to_vec(), Some(vec![b'y'; 300])),
        ])
        .unwrap();
    driver.store.fold().unwrap();
    driver
        .commit(&[
            Op::Heap(2, vec![(1, 3, vec![8; 30])]),
            Op::Log(2, b"two".to_vec()),
        ])
        .unwrap();
    driver
        .commit(&[Op::Row(1, b"key".to_vec(), Some(b"later".to_vec()))])
        .unwrap();
    if folds {
        driver.store.fold().unwrap();
    }
    (disk, driver.known.acknowledged)
}

/// What became of a store with a damaged file.
#[derive(Debug)]
enum Met {
    Refused(OpenError),
    /// These vats do not start; everything else is as it was.
    Vats(Vec<Damage>),
    /// Nothing that was asked for is touched by it.
    Unnoticed,
}

/// Opens and reads everything; panics at a wrong value.
fn meet(disk: &MemoryBackend, model: &Model, at: &str) -> Met {
    let mut store = match Store::open(disk.fork(), tiny()) {
        Ok((store, _)) => store,
        Err(error) => return Met::Refused(error),
    };
    let mut damages = Vec::new();
    for (&vat, expected) in &model.vats {
        let vat = VatId(vat);
        match store.image(vat) {
            Ok(image) => {
                let mut word = [0; 8];
                for (&(page, place), value) in &expected.words {
                    let offset = u64::from(page) * 4096 + place as u64 * 8;
                    image.file.read_at(offset, &mut word).unwrap();
                    assert_eq!(u64::from_le_bytes(word), *value, "{at}");
                }
            }
            Err(ImageError::Damaged(damage)) => {
                assert_eq!(damage.vat, Some(vat), "{at}: {damage}");
                damages.push(damage);
            }
            Err(error) => panic!("{at}: {error}"),
        }
        match store.log_read(vat, 0, 10_000) {
            Ok(slice) => assert_eq!(slice.bytes, expected.log, "{at}"),
            Err(error) => damages.push(damage_of(error.into(), at)),
        }
    }
    for ((table, key), value) in &model.rows {
        match store.get(*table, key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value), "{at}"),
            Err(error) => return Met::Refused(error.into()),
        }
    }
    for engine in store.engines() {
        match store.engine(engine.hash) {
            Ok(bytes) => assert_eq!(bytes, b"a worker", "{at}"),
            Err(error) => return Met::Refused(error.into()),
        }
    }
    if damages.is_empty() {
        Met::Unnoticed
    } else {
        Met::Vats(damages)
    }
}

fn damage_of(error: OpenError, at: &str) -> Damage {
    match error {
        OpenError::Damaged(damage) => damage,
        error => panic!("{at}: {error}"),
    }
}

/// Damage done to a file as a whole.
type Deed = (&'static str, fn(&MemoryBackend, &str));
const DEEDS: [Deed; 4] = [
    ("missing", |disk, path| disk.lose(path)),
    ("empty", |disk, path| disk.rewrite(path, Vec::clear)),
    ("cut", |disk, path| {
        disk.rewrite(path, |bytes| bytes.truncate(bytes.len() / 2))
    }),
    ("another's", |disk, path| {
        let other = furnished(true).0;
        let foreign = match path {
            "VERSION" => b"kenvat store 4\n".to_vec(),
            "heap/0000000000000001" => other.contents("heap/0000000000000002").unwrap(),
            "heap/0000000000000002" => other.contents("heap/0000000000000001").unwrap(),
            "logs/0000000000000001" => vec![b'z'; 180],
            "logs/0000000000000002" => b"six".to_vec(),
            path if path.ends_with(".genesis") => b"KVGENSIS but another".repeat(10),
            path if path.starts_with("engines/") => b"a worked".to_vec(),
            path => other.contents(path).unwrap(),
        };
        disk.rewrite(path, |bytes| *bytes = foreign);
    }),
];

#[test]
fn files_missing_cut_or_anothers_are_named_and_the_rest_goes_on() {
    for folds in [true, false] {
        let (disk, model) = furnished(folds);
        for (path, _) in disk.files() {
            for (deed, harm) in DEEDS {
                let harmed = disk.fork();
                harm(&harmed, &path);
                let at = format!("{path} {deed}, folded: {folds}");
                let met = meet(&harmed, &model, &at);
                let (is_right, named) = judge(&path, &met);
                assert!(is_right, "{at}: {met:?}");
                if named.is_empty() {
                    continue;
                }
                let report = match verify(harmed.fork()) {
                    Ok(report) => report.damages.iter().map(ToString::to_string).collect(),
                    Err(error) => vec![error.to_string()],
                };
                let is_named = report
                    .iter()
                    .any(|what| named.iter().any(|n| what.contains(n)));
                assert!(is_named, "{at}: verify says {report:?}, not {named:?}");
            }
        }
    }
}

/// Whether what was met is what that file's damage should lead to, and the names `verify` may give.
fn judge(path: &str, met: &Met) -> (bool, Vec<String>) {
    let named = vec![path.to_owned()];
    match (path.split('/').next().unwrap(), met) {
        ("VERSION", Met::Refused(error)) => (error.to_string().contains("VERSION"), named),
        // Another store's catalog does not know this one's segments, nor they it.
        ("catalog.redb", Met::Refused(error)) => {
            let names = vec!["catalog.redb".to_owned(), "another store".to_owned()];
            (
                names.iter().any(|name| error.to_string().contains(name)),
                names,
            )
        }
        ("journal" | "engines", Met::Refused(error)) => (error.to_string().contains(path), named),
        // The genesis image is read when a vat is made.
        ("engines", Met::Unnoticed) => (path.ends_with(".genesis"), named),
        ("heap" | "logs", Met::Vats(damages)) => {
            (damages.iter().all(|damage| damage.file == path), named)
        }
        // It holds nothing.
        ("ballast", Met::Unnoticed) => (true, vec![]),
        // Made again from the frames after the fold.
        ("logs", Met::Unnoticed) => (true, vec![]),
        // Only `verify` reads the content of a spare segment, but every open reads its header.
        _ => (false, named),
    }
}

#[test]
fn verify_names_every_flipped_byte_and_changes_nothing() {
    for folds in [true, false] {
        let (disk, model) = furnished(folds);
        let clean = verify(disk.fork()).unwrap();
        assert_eq!(clean.damages, []);
        // All but the catalog, of which rows count.
        let files = disk.files();
        let rest = files
            .iter()
            .filter(|(path, _)| !["catalog.redb", "VERSION", "ballast"].contains(&path.as_str()));
        let rest: u64 = rest
            .filter(|(path, _)| !path.starts_with("heap/"))
            .map(|f| f.1)
            .sum();
        assert!(
            clean.read_bytes > rest,
            "{} of {rest} bytes read",
            clean.read_bytes
        );
        for (path, len) in disk
            .files()
            .into_iter()
            .filter(|(path, _)| path != "ballast")
        {
            for offset in places(&disk, &path, len) {
                let flipped = disk.fork();
                flipped.flip(&path, offset, 1 << (offset % 8));
                let at = format!("byte {offset} of {path}, folded: {folds}");
                let before: Vec<_> = flipped.files();
                let operations = flipped.operations();
                let damages = match verify(flipped.clone()) {
                    Ok(report) => report.damages,
                    Err(OpenError::OtherVersion { file, .. }) => {
                        vec![Damage {
                            file,
                            offset,
                            vat: None,
                            what: String::new(),
                        }]
                    }
                    Err(error) => panic!("{at}: {error}"),
                };
                assert_eq!(
                    flipped.operations(),
                    operations,
                    "{at}: something was written"
                );
                assert_eq!(flipped.files(), before);
                let met = meet(&flipped, &model, &at);
                let named = damages.iter().find(|damage| damage.file == path);
                // What frames after the fold write is written again before anyone reads it.
                let is_rewritten = match path.as_str() {
                    "heap/0000000000000002" => (4096 + 24..4096 + 24 + 240).contains(&offset),
                    "logs/0000000000000002" => true,
                    _ => false,
                };
                if !folds && is_rewritten {
                    assert!(matches!(met, Met::Unnoticed), "{at}: {met:?}");
                    continue;
                }
                // Without the version file's content there is no telling which store this is.
                let is_version = path == "VERSION";
                assert!(named.is_some() || is_version, "{at}: {damages:?}, {met:?}");
                if let Some(damage) = named.filter(|_| path.starts_with("heap/")) {
                    assert_eq!(damage.offset, offset / 4096 * 4096, "{at}");
                    assert_eq!(
                        damage.vat.map(|vat| vat.to_string()),
                        path.get(5..).map(Into::into)
                    );
                }
                if let Some(damage) = named.filter(|_| path == "catalog.redb") {
                    assert_eq!(damage.offset, offset / 512 * 512, "{at}");
                }
                if let Some(damage) = named.filter(|_| path.starts_with("journal/")) {
                    let sector = if offset < 512 {
                        offset
                    } else {
                        offset / 512 * 512
                    };
                    assert_eq!(damage.offset, sector, "{at}");
                }
            }
        }
    }
}

/// Every byte of what is small, and a sample of what is not, ends included; of the catalog, which
/// is mostly room, a sample of what is not zero as well.
fn places(disk: &MemoryBackend, path: &str, len: u64) -> Vec<u64> {
    let step = (len / 150).max(1) as usize;
    let mut places: Vec<u64> = (0..len).step_by(step).chain([len - 1]).collect();
    if path == "catalog.redb" {
        let bytes = disk.contents(path).unwrap();
        let used: Vec<u64> = (0..len).filter(|&at| bytes[at as usize] != 0).collect();
        places.extend(used.iter().step_by((used.len() / 400).max(1)));
    }
    places
}

#[test]
fn a_flipped_catalog_row_is_never_returned_and_verify_tells() {
    let (disk, model) = furnished(true);
    let bytes = disk.contents("catalog.redb").unwrap();
    let needle = [b'y'; 40];
    let places: Vec<usize> = bytes
        .windows(40)
        .enumerate()
        .filter(|(_, w)| *w == needle)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    let harmed = disk.fork();
    places
        .iter()
        .step_by(7)
        .for_each(|&at| harmed.flip("catalog.redb", at as u64 + 3, 2));
    assert!(matches!(meet(&harmed, &model, "row"), Met::Refused(_)));
    let report = verify(harmed.fork()).unwrap();
    assert!(
        report.damages.iter().any(|d| d.file == "catalog.redb"),
        "{report:?}"
    );
}

#[test]
fn one_vats_damage_leaves_the_others_running_and_can_be_ended() {
    let (disk, _) = furnished(true);
    disk.flip("heap/0000000000000001", 8, 1);
    let (mut store, _) = Store::open(disk.clone(), tiny()).unwrap();
    let engine = store.engines()[0].hash;
    let heap = |vat| part(&Op::Heap(vat, vec![(0, 0, vec![1])]), engine);
    assert!(matches!(store.image(VatId(1)), Err(ImageError::Damaged(_))));
    assert!(matches!(
        store.stage(heap(1)),
        Err(StageError::VatDamaged { .. })
    ));
    store.image(VatId(2)).unwrap();
    store.stage(heap(2)).unwrap();
    store.stage(Part::Terminate { vat: VatId(1) }).unwrap();
    let durable = store_write(&mut store);
    store.apply(durable).unwrap();
    let damaged = |store: &Store<MemoryBackend>| store.vats().iter().any(|v| v.damaged.is_some());
    assert!(!damaged(&store));
    store.fold().unwrap();
    assert_eq!(store.verify().unwrap().damages, []);
    // A page that rots after its vat woke is found when a frame first needs it from disk.
    disk.flip("heap/0000000000000002", 4096 + 8, 1);
    let rotten = part(&Op::Heap(2, vec![(1, 0, vec![1])]), engine);
    let result = store.stage(rotten);
    let is_cached = result.is_ok();
    assert!(is_cached || matches!(result, Err(StageError::VatDamaged { .. })));
    drop(store);
    let (mut store, _) = Store::open(disk.fork(), tiny()).unwrap();
    let rotten = part(&Op::Heap(2, vec![(1, 0, vec![1])]), engine);
    assert!(matches!(
        store.stage(rotten),
        Err(StageError::VatDamaged { .. })
    ));
}

fn store_write(store: &mut Store<MemoryBackend>) -> kenvat_store::Durable {
    store.seal().unwrap().unwrap().write().unwrap()
}

#[test]
fn another_version_is_refused_as_older_or_newer() {
    let (disk, _) = furnished(true);
    for (text, age) in [("kenvat store 4\n", "newer"), ("kenvat store 2\n", "older")] {
        disk.rewrite("VERSION", |bytes| *bytes = text.as_bytes().to_vec());
        let error = Store::open(disk.fork(), tiny()).unwrap_err().to_string();
        assert!(error.contains("VERSION") && error.contains(age), "{error}");
    }
}

#[test]
fn a_stray_file_is_told_of_and_left() {
    let (disk, _) = furnished(true);
    disk.rewrite("heap/README", |bytes| bytes.extend_from_slice(b"mine"));
    disk.rewrite("heap/00000000000000ff", |bytes| {
        bytes.extend_from_slice(b"no vat's")
    });
    let (mut store, recovery) = Store::open(disk.clone(), tiny()).unwrap();
    assert_eq!(recovery.removed, ["heap/00000000000000ff"]);
    let damages = store.verify().unwrap().damages;
    assert_eq!(
        damages.iter().map(|d| d.file.as_str()).collect::<Vec<_>>(),
        ["heap/README"]
    );
    assert!(disk.contents("heap/README").is_some());
}

#[test]
#[ignore = "takes minutes: run by hand, with --release"]
fn every_used_byte_of_the_catalog_flipped_neither_panics_nor_gives_a_wrong_value() {
    let (disk, model) = furnished(true);
    let bytes = disk.contents("catalog.redb").unwrap();
    let (mut refused, mut unnoticed) = (0, 0);
    for (offset, _) in (0u64..).zip(&bytes).filter(|(_, byte)| **byte != 0) {
        for mask in [1, 0x80, 0xff] {
            let flipped = disk.fork();
            flipped.flip("catalog.redb", offset, mask);
            let at = format!("byte {offset}, mask {mask}");
            let _ = verify(flipped.fork());
            match meet(&flipped, &model, &at) {
                Met::Unnoticed => unnoticed += 1,
                _ => refused += 1,
            }
            // Writing meets the allocator's state, which reading does not.
            let Ok((store, _)) = Store::open(flipped.fork(), tiny()) else {
                continue;
            };
            let engine = kenvat_store::EngineHash([0; 32]);
            let mut driver = Driver {
                store,
                known: Known::default(),
                engine,
            };
            let row = Op::Row(0, vec![1], Some(vec![2; 3000]));
            let _ = driver
                .commit(&[row])
                .and_then(|()| driver.store.fold().map_err(|error| error.to_string()));
        }
    }
    println!("{refused} refused, {unnoticed} touched nothing that is read");
    assert!(refused > unnoticed / 10);
}
