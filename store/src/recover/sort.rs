//! Decodes frames on a second thread while the journal is still being read.
//!
//! Most parts of most journals are rows, which need memory and time but no disk. They are inserted
//! while the next frame is read and checked. Other parts are decoded again only if they change
//! files.
//!
//! Promises: touches no file, so it may run before what was read is made durable. The rows are as
//! if the frames were applied in order. The other parts are kept as they stand; they have at most
//! as many bytes as the journal.

use super::replay::{for_each_part, malformed};
use super::scan::Place;
use crate::codec::PartRecord;
use crate::error::{OpenError, StoreError};
use crate::ids::VatId;
use crate::memtable::rows::UnsortedRows;
use crate::options::{ENGINE_TABLES, ROW_KEY_BYTES_MAX, ROW_VALUE_BYTES_MAX};
use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::sync_channel;
use std::thread;

/// Frames that are read and not decoded, at most. The reader should hardly ever have to wait;
/// together they hold no more than the bound of the journal.
const AHEAD_MAX: usize = 1024;

/// What committed frames hold.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// The rows before the first spill file, then those up to the next one, and so on. A spill file
    /// holds rows that come between, and that are known only when it is read.
    pub rows: VecDeque<UnsortedRows>,
    /// The vats that they end. Other parts of these vats are skipped in all frames, since their
    /// files may be gone already; ids are never reused, so no other vat is concerned.
    pub terminated: BTreeSet<VatId>,
    pub frames: Vec<Rest>,
}

/// The parts of a frame that change more than rows.
#[derive(Debug)]
pub(crate) struct Rest {
    pub place: Place,
    /// The coded parts without rows.
    pub parts: Vec<u8>,
}

/// Runs `read`, which passes on frames one by one, and decodes them on a second thread. Of two
/// errors the one about the earlier frame is returned, which is the decoder's.
pub(crate) fn sort_concurrently<T>(
    read: impl FnOnce(&mut dyn FnMut(Place, Vec<u8>)) -> Result<T, OpenError>,
) -> Result<(T, Sorted), OpenError> {
    let (sender, receiver) = sync_channel::<(Place, Vec<u8>)>(AHEAD_MAX);
    thread::scope(|scope| {
        let sort = move || {
            let mut sorted = Sorted {
                rows: [UnsortedRows::default()].into(),
                ..Sorted::default()
            };
            for (place, body) in receiver {
                sorted.take(place, &body)?;
            }
            Ok::<_, OpenError>(sorted)
        };
        let sorter = thread::Builder::new().name("kenvat-sort".to_owned());
        let sorter = sorter.spawn_scoped(scope, sort);
        let sorter = sorter.map_err(|source| StoreError::Io {
            what: "start a thread for",
            file: "journal".to_owned(),
            source,
        })?;
        // If the decoder has ended, it has an error to return, and further frames are not needed.
        let read = read(&mut |place, body| drop(sender.send((place, body))));
        drop(sender);
        let sorted = sorter.join().expect("it does not panic")?;
        Ok((read?, sorted))
    })
}

impl Sorted {
    fn take(&mut self, place: Place, body: &[u8]) -> Result<(), OpenError> {
        let mut parts = Vec::new();
        for_each_part(&place, body, |part, bytes| {
            match part {
                PartRecord::Row { table, key, value } => {
                    let value_bytes = value.map_or(0, <[u8]>::len);
                    if key.len() > ROW_KEY_BYTES_MAX || value_bytes > ROW_VALUE_BYTES_MAX {
                        return Err(malformed(&place, "a row longer than any may be"));
                    }
                    if table >= ENGINE_TABLES {
                        return Err(malformed(&place, "a row of the store's own"));
                    }
                    let rows = self.rows.back_mut().expect("there is one from the start");
                    rows.insert(table, key, value);
                    return Ok(());
                }
                PartRecord::Terminate { vat } => {
                    self.terminated.insert(VatId(vat));
                }
                PartRecord::Spill(_) => self.rows.push_back(UnsortedRows::default()),
                _ => {}
            }
            parts.extend_from_slice(bytes);
            Ok(())
        })?;
        self.frames.push(Rest { place, parts });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, SpillRecord};
    use crate::error::Damage;
    use crate::journal::frame::Kind;
    use crate::memtable::rows::RowRef;

    fn place(sequence: u64) -> Place {
        Place {
            sequence,
            segment: 1,
            offset: sequence * 512,
            sectors: 1,
            kind: Kind::Parts,
        }
    }

    fn body(parts: &[PartRecord<'_>]) -> Vec<u8> {
        let mut body = Vec::new();
        parts
            .iter()
            .for_each(|part| codec::encode_onto(part, &mut body));
        body
    }

    fn row<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> PartRecord<'a> {
        PartRecord::Row {
            table: 3,
            key,
            value,
        }
    }

    fn sort(bodies: Vec<Vec<u8>>) -> Result<Sorted, OpenError> {
        let sorted = sort_concurrently(|take| {
            (1..)
                .zip(bodies)
                .for_each(|(at, body)| take(place(at), body));
            Ok(())
        });
        sorted.map(|((), sorted)| sorted)
    }

    #[test]
    fn rows_are_as_of_the_last_frame_and_the_rest_stands_as_it_was() {
        let log = PartRecord::Log {
            vat: 1,
            bytes: b"line",
        };
        let end = PartRecord::Terminate { vat: 7 };
        let first = body(&[row(b"a", Some(b"1")), log.clone(), row(b"b", Some(b"2"))]);
        let second = body(&[end.clone(), row(b"a", None)]);
        let sorted = sort(vec![first, second, body(&[row(b"c", Some(b""))])]).unwrap();
        let rows: Vec<_> = sorted.rows[0].sorted();
        assert_eq!(sorted.rows.len(), 1);
        let expected: [RowRef<'_>; 3] =
            [(3, b"a", None), (3, b"b", Some(b"2")), (3, b"c", Some(b""))];
        assert_eq!(rows, expected);
        assert_eq!(sorted.terminated, [VatId(7)].into());
        let rests: Vec<_> = sorted
            .frames
            .iter()
            .map(|rest| rest.parts.clone())
            .collect();
        assert_eq!(rests, [body(&[log]), body(&[end]), body(&[])]);
        let places: Vec<_> = sorted.frames.iter().map(|rest| rest.place).collect();
        assert_eq!(places, [place(1), place(2), place(3)]);
    }

    #[test]
    fn rows_after_a_spill_file_stay_apart_from_those_before_it() {
        let spill = PartRecord::Spill(SpillRecord {
            vat: 1,
            id: 2,
            bytes: 3,
            sha256: [4; 32],
        });
        let first = body(&[row(b"a", Some(b"1")), spill.clone(), row(b"a", Some(b"2"))]);
        let second = body(&[row(b"a", Some(b"3")), spill.clone()]);
        let sorted = sort(vec![first, second]).unwrap();
        let of = |at: usize| sorted.rows[at].get(3, b"a");
        assert_eq!(
            (of(0), of(1)),
            (Some(Some(&b"1"[..])), Some(Some(&b"3"[..])))
        );
        assert_eq!((sorted.rows.len(), of(2)), (3, None));
        assert_eq!(sorted.frames[0].parts, body(&[spill]));
    }

    #[test]
    fn the_earlier_of_two_errors_is_told_and_a_long_journal_does_not_hang() {
        let long = vec![0; ROW_KEY_BYTES_MAX + 1];
        let foreign = PartRecord::Row {
            table: ENGINE_TABLES,
            key: b"k",
            value: None,
        };
        for (wrong, what) in [
            (body(&[row(&long, None)]), "longer than any"),
            (body(&[foreign]), "the store's own"),
            (vec![99], "makes no sense"),
        ] {
            let later = || OpenError::from(Damage::new("journal/1", 9, "later"));
            let result = sort_concurrently(|take| {
                take(place(1), wrong);
                (2..AHEAD_MAX as u64 * 3).for_each(|at| take(place(at), body(&[])));
                Err::<(), _>(later())
            });
            let error = result.expect_err("it makes no sense").to_string();
            assert!(error.contains("frame 1") && error.contains(what), "{error}");
        }
        let later =
            sort_concurrently(|_| Err::<(), _>(Damage::new("journal/1", 9, "later").into()));
        assert!(later.expect_err("damaged").to_string().contains("later"));
    }
}
