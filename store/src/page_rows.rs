//! How page checksums stand in the catalog: a row for each group of 128 pages.
//!
//! ```text
//! key    vat u64 BE, group u32 BE
//! value  128 checksums, u32 LE each; of a page never written, that of zeros
//! ```
//! One row a page would cost a tree operation each; one row a vat would be rewritten whole for one
//! page. At 128 a fold writes 512 bytes for a lone page.

use crate::catalog::{row_damage, table};
use crate::error::StoreError;
use crate::ids::VatId;
use crate::images::zero_page_crc;
use std::collections::BTreeMap;

/// Pages a row is about.
pub(crate) const GROUP_PAGES: u32 = 128;
pub(crate) const ROW_BYTES: usize = GROUP_PAGES as usize * 4;

/// The key of the row a page is in.
pub(crate) fn key(vat: VatId, page: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&vat.0.to_be_bytes());
    key[8..].copy_from_slice(&(page / GROUP_PAGES).to_be_bytes());
    key
}

/// The checksum of a page, from its row if there is one.
pub(crate) fn checksum(vat: VatId, row: Option<&[u8]>, page: u32) -> Result<u32, StoreError> {
    let Some(row) = row else {
        return Ok(zero_page_crc());
    };
    let place = (page % GROUP_PAGES) as usize;
    let crc = checksums(vat, row)?.get(place).copied();
    Ok(crc.map_or_else(zero_page_crc, u32::from_le_bytes))
}

/// Adds the checksums of a row, but for pages of zeros.
pub(crate) fn collect(
    vat: VatId,
    key: &[u8],
    row: &[u8],
    into: &mut BTreeMap<u32, u32>,
) -> Result<(), StoreError> {
    let group = key
        .get(8..)
        .and_then(|group| group.try_into().ok())
        .map(u32::from_be_bytes);
    let first = group.and_then(|group| group.checked_mul(GROUP_PAGES));
    let first = first.ok_or_else(|| row_damage(&[&[table::PAGES], key].concat(), "no such key"))?;
    let pages = (first..).zip(checksums(vat, row)?);
    let pages = pages.map(|(page, crc)| (page, u32::from_le_bytes(*crc)));
    into.extend(pages.filter(|&(_, crc)| crc != zero_page_crc()));
    Ok(())
}

/// The row with `changes` (page and checksum, all of this group) made.
pub(crate) fn changed(
    vat: VatId,
    row: Option<&[u8]>,
    changes: impl Iterator<Item = (u32, u32)>,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = match row {
        Some(row) => {
            checksums(vat, row)?;
            row.to_vec()
        }
        None => zero_page_crc().to_le_bytes().repeat(GROUP_PAGES as usize),
    };
    for (page, crc) in changes {
        let start = (page % GROUP_PAGES) as usize * 4;
        if let Some(place) = bytes.get_mut(start..start + 4) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
    }
    Ok(bytes)
}

fn checksums(vat: VatId, row: &[u8]) -> Result<&[[u8; 4]], StoreError> {
    if row.len() != ROW_BYTES {
        let key = [&[table::PAGES], &vat.0.to_be_bytes()[..]].concat();
        return Err(row_damage(&key, "not a group of page checksums").into());
    }
    Ok(row.as_chunks().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_each_page_apart_and_zeros_are_the_default() {
        let vat = VatId(1);
        let row = changed(vat, None, [(130, 5), (255, 6)].into_iter()).unwrap();
        let row = changed(vat, Some(&row), [(130, 7)].into_iter()).unwrap();
        let of = |page| checksum(vat, Some(&row), page).unwrap();
        assert_eq!((of(130), of(255), of(128)), (7, 6, zero_page_crc()));
        assert_eq!(checksum(vat, None, 9).unwrap(), zero_page_crc());
        let mut all = BTreeMap::new();
        collect(vat, &key(vat, 200), &row, &mut all).unwrap();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [(130, 7), (255, 6)]);
        assert!(checksum(vat, Some(&row[1..]), 0).is_err());
        assert!(collect(vat, &[0; 9], &row, &mut BTreeMap::new()).is_err());
        assert!(collect(vat, &[255; 12], &row, &mut BTreeMap::new()).is_err());
    }
}
