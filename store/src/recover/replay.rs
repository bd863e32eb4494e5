//! Applying committed frames again, from their bytes, except for rows, which `sort` handles.
//!
//! Promises: images and logs end as they were the first time, whatever of it reached the disk.
//! Every word is written, even if it is equal, so that the page cache writes it again (I4). A vat
//! whose image is missing or truncated is marked and left alone; the others go on. A malformed part
//! is damage of the journal: the checksums of its frame matched, so it was written that way.

use crate::backend::Backend;
use crate::codec::{self, PartRecord, SpillRecord};
use crate::delta::{self, Run};
use crate::error::{Damage, OpenError, StoreError};
use crate::ids::{EngineHash, VatId};
use crate::images::ZeroedSpace;
use crate::journal::segment;
use crate::memtable::rows::UnsortedRows;
use crate::options::PAGE_LIMIT_MAX;
use crate::recover::coalesce::CoalescedWrites;
use crate::recover::scan::Place;
use crate::recover::sort::Rest;
use crate::spill;
use crate::store::Store;
use std::collections::{BTreeSet, VecDeque};

/// Applies one frame except for its rows. After each spill file the next element of `ranges` is
/// added, which holds the rows behind it. Changed words are left in `coalesced`, to be written
/// later.
pub(crate) fn replay<B: Backend>(
    store: &mut Store<B>,
    Rest { place, parts }: &Rest,
    terminated: &BTreeSet<VatId>,
    ranges: &mut VecDeque<UnsortedRows>,
    coalesced: &mut CoalescedWrites,
) -> Result<(), OpenError> {
    for_each_part(place, parts, |part, _| {
        let skips = |vat: u64| terminated.contains(&VatId(vat));
        match part {
            PartRecord::Create { vat, .. } => {
                store.next_vat = store.next_vat.max(vat.saturating_add(1));
                if skips(vat) {
                    Ok(())
                } else {
                    replay_create(store, place, &part)
                }
            }
            PartRecord::Heap { vat, delta } if !skips(vat) => {
                replay_heap(store, place, VatId(vat), delta, coalesced)
            }
            PartRecord::Spill(record) => {
                if skips(record.vat) {
                    replay_rows(store, &record)?;
                } else {
                    // Its words come after those of the parts before it.
                    coalesced.write(store)?;
                    replay_spill(store, place, &record)?;
                }
                // Its rows come before those of the parts after it.
                store.active.put_all(ranges.pop_front().unwrap_or_default());
                Ok(())
            }
            PartRecord::Pages { vat, checksums } if !skips(vat) => {
                let (pairs, rest) = checksums.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(malformed(place, "page checksums are cut off"));
                }
                let pages = store.active.pages.entry(VatId(vat)).or_default();
                pages.extend(pairs.iter().map(|[p0, p1, p2, p3, c0, c1, c2, c3]| {
                    let page = u32::from_le_bytes([*p0, *p1, *p2, *p3]);
                    (page, u32::from_le_bytes([*c0, *c1, *c2, *c3]))
                }));
                Ok(())
            }
            PartRecord::Log { vat, bytes } if !skips(vat) => {
                known(store, place, VatId(vat))?;
                Ok(store.append_log(VatId(vat), bytes)?)
            }
            PartRecord::Terminate { vat } => {
                store.forget_vat(VatId(vat));
                Ok(())
            }
            PartRecord::Heap { .. }
            | PartRecord::Pages { .. }
            | PartRecord::Row { .. }
            | PartRecord::Log { .. } => Ok(()),
        }
    })
}

fn replay_create<B: Backend>(
    store: &mut Store<B>,
    place: &Place,
    part: &PartRecord<'_>,
) -> Result<(), OpenError> {
    let PartRecord::Create {
        vat,
        engine,
        page_limit,
    } = *part
    else {
        return Ok(());
    };
    let engine = EngineHash(engine);
    if !store.engines.contains_key(&engine) {
        return Err(malformed(
            place,
            &format!("a vat on engine {engine}, which is not known"),
        ));
    }
    // Without its genesis image the vat cannot be made, and the store cannot skip a frame. So this
    // is damage of the store, reported with the name of the genesis file.
    let genesis = store.genesis(engine)?;
    if page_limit < genesis.extent() || page_limit > crate::options::PAGE_LIMIT_MAX {
        return Err(malformed(
            place,
            "a heap smaller than its genesis image, or too large",
        ));
    }
    store.note_vat(VatId(vat), engine, page_limit);
    Ok(store.make_image(VatId(vat))?)
}

fn replay_heap<B: Backend>(
    store: &mut Store<B>,
    place: &Place,
    vat: VatId,
    delta: &[u8],
    coalesced: &mut CoalescedWrites,
) -> Result<(), OpenError> {
    let page_limit = known(store, place, vat)?;
    // The delta was checked against the limit of its time, up to which the image may have been
    // extended; no frame records that limit.
    delta::check(delta, PAGE_LIMIT_MAX).map_err(|error| malformed(place, &error.to_string()))?;
    let pages = delta::runs(delta).map(|run| run.pages().end).max();
    extend(store, vat, page_limit, pages.unwrap_or(0))?;
    store.active.images.insert(vat);
    for run in delta::runs(delta) {
        if store
            .vats
            .get(&vat)
            .is_some_and(|vat| vat.damaged.is_some())
        {
            break;
        }
        let zeroed = match run {
            Run::Words { page, start, bytes } => {
                coalesced.add(vat, page, start, bytes);
                continue;
            }
            Run::Zeros { .. } => {
                coalesced.forget(vat, run.pages());
                store
                    .images
                    .zero(vat, page_limit, run.pages(), ZeroedSpace::Released)
            }
        };
        match zeroed {
            Ok(()) => {}
            Err(StoreError::Damaged(damage)) => store.mark_damaged(vat, &damage),
            Err(error) => return Err(error.into()),
        }
    }
    if coalesced.is_full() {
        coalesced.write(store)?;
    }
    Ok(())
}

/// Makes the image as long as a frame requires.
fn extend<B: Backend>(
    store: &mut Store<B>,
    vat: VatId,
    page_limit: u32,
    pages: u32,
) -> Result<(), StoreError> {
    let sound = store
        .vats
        .get(&vat)
        .is_some_and(|vat| vat.damaged.is_none());
    if pages <= page_limit || !sound {
        return Ok(());
    }
    match store.images.extend(vat, page_limit, pages) {
        Err(StoreError::Damaged(damage)) => {
            store.mark_damaged(vat, &damage);
            Ok(())
        }
        result => result,
    }
}

/// Applies a spill file, after checking it whole. Its damage is damage of its vat.
fn replay_spill<B: Backend>(
    store: &mut Store<B>,
    place: &Place,
    record: &SpillRecord,
) -> Result<(), OpenError> {
    let vat = VatId(record.vat);
    let page_limit = known(store, place, vat)?;
    let shared = store.shared.clone();
    let contents = match spill::check(&shared, record) {
        Ok(contents) => contents,
        Err(StoreError::Damaged(damage)) => {
            store.lose_write(record, damage.of(vat));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    store.active.spills.push(*record);
    for (key, row) in contents.rows {
        store.active.put_spilled(key, row);
    }
    if contents.log_bytes > 0 {
        let skipped = store.log_skipped(vat, contents.log_bytes);
        let log = spill::log_of(&shared, record, skipped)?;
        store.skip_log(vat, skipped);
        store.append_log(vat, &log)?;
    }
    let pages = contents.pages;
    let Some(&(last, _)) = pages.last() else {
        return Ok(());
    };
    store.active.images.insert(vat);
    let image = store.images.file(vat, page_limit);
    match image.and_then(|image| spill::apply(&shared, record, PAGE_LIMIT_MAX, &image)) {
        Ok(()) => {
            extend(store, vat, page_limit, last.saturating_add(1))?;
            store.active.pages.entry(vat).or_default().extend(pages);
            Ok(())
        }
        Err(StoreError::Damaged(damage)) => {
            store.mark_damaged(vat, &damage.of(vat));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Sets the rows of a spill file whose vat ends in a later frame; nothing else of it matters. If
/// the file is damaged, what the frame itself says of the rows stands.
fn replay_rows<B: Backend>(store: &mut Store<B>, record: &SpillRecord) -> Result<(), OpenError> {
    match spill::check(&store.shared, record) {
        Ok(contents) => {
            store.active.spills.push(*record);
            for (key, row) in contents.rows {
                store.active.put_spilled(key, row);
            }
            Ok(())
        }
        Err(StoreError::Damaged(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The page limit of a vat, which an earlier frame must have created.
fn known<B: Backend>(store: &Store<B>, place: &Place, vat: VatId) -> Result<u32, OpenError> {
    let vat_found = store.vats.get(&vat);
    vat_found
        .map(|vat| vat.page_limit)
        .ok_or_else(|| malformed(place, &format!("a part of vat {vat}, which is not known")))
}

/// Passes each part of a body to `take`, with its coded bytes.
pub(super) fn for_each_part(
    place: &Place,
    body: &[u8],
    mut take: impl FnMut(PartRecord<'_>, &[u8]) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut rest = body;
    while !rest.is_empty() {
        let (part, tail) =
            codec::decode_part(rest).map_err(|error| malformed(place, &error.to_string()))?;
        take(part, &rest[..rest.len() - tail.len()])?;
        rest = tail;
    }
    Ok(())
}

pub(super) fn malformed(place: &Place, what: &str) -> OpenError {
    let what = format!("frame {} makes no sense: {what}", place.sequence);
    Damage::new(segment::path(place.segment), place.offset, what).into()
}
