//! How much space on the disk a hand-over or a vat's end reserves before anything of it is staged
//! (J8).

use kenvat_store::{PART_OVERHEAD_BYTES, Reservation, SpillFile};

use crate::check::Checked;
use crate::requests::Requests;
use crate::requests::answers::rows_bytes;
use crate::vats::Vat;

/// Bytes of rows of one request that is consumed and not answered, besides its key twice.
const OPEN_ROW_BYTES: usize = 256;
/// Bytes of the row that goes when such a request is answered.
const CLOSED_ROW_BYTES: usize = 16;
/// Bytes of the row of a timer that is set or cleared.
pub(crate) const TIMER_ROW_BYTES: usize = 64;
/// Bytes of the answer that a vat's end is, but for its name.
const END_BYTES: usize = 64;
/// Bytes of an end for which nothing is reserved: a part of what the store keeps for such rows,
/// since on a full disk ending vats is a way to get space.
const END_BYTES_UNASKED: usize = 64 << 10;
/// Bytes of a vat's own rows in a frame: counters, a death forgiven.
const VAT_ROWS_BYTES: usize = 1 << 10;

/// What all of a hand-over needs.
pub(crate) fn reservation_of<'a, W>(
    vat: &Vat<W>,
    requests: &Requests<W>,
    checked: &'a Checked,
) -> Reservation<'a> {
    let turns = (checked.last_turn - vat.progress().handed_turn()) as usize;
    let consumed = vat.progress().delivered().iter().take(turns);
    let older = checked.replies.iter();
    let older = older.filter_map(|reply| vat.open().get(&reply.request));
    let keys = consumed.chain(older);
    let keyed = rows_bytes(keys.filter_map(|no| requests.known(*no).key()));
    let answers = match checked.rows_are_spilled {
        true => 0,
        false => checked.replies.iter().map(|reply| reply.bytes()).sum(),
    };
    let row_bytes = VAT_ROWS_BYTES
        + answers
        + keyed
        + checked.timers.len() * (TIMER_ROW_BYTES + PART_OVERHEAD_BYTES)
        + turns * (OPEN_ROW_BYTES + PART_OVERHEAD_BYTES)
        + checked.replies.len() * (CLOSED_ROW_BYTES + PART_OVERHEAD_BYTES);
    Reservation {
        vat: vat.id(),
        creates: None,
        delta: (!checked.delta.is_empty()).then_some(&checked.delta),
        log_bytes: checked.log.len(),
        spill_log_bytes: checked.side.as_ref().map_or(0, SpillFile::log_bytes),
        row_bytes,
    }
}

/// What the end of a vat needs, whose open requests are all answered by it; nothing where it takes
/// so little that the store keeps space for it.
pub(crate) fn reservation_of_end<W>(
    vat: &Vat<W>,
    timers: usize,
    requests: &Requests<W>,
) -> Option<Reservation<'static>> {
    let keys = vat.open().values();
    let keyed = rows_bytes(keys.filter_map(|no| requests.known(*no).key()));
    let answer = CLOSED_ROW_BYTES + PART_OVERHEAD_BYTES + vat.name().len() + END_BYTES;
    let timers = timers * (TIMER_ROW_BYTES + PART_OVERHEAD_BYTES);
    let row_bytes = VAT_ROWS_BYTES + keyed + vat.open().len() * answer + timers;
    (row_bytes > END_BYTES_UNASKED).then(|| Reservation {
        vat: vat.id(),
        creates: None,
        delta: None,
        log_bytes: 0,
        spill_log_bytes: 0,
        row_bytes,
    })
}
