//! Answers kept for clients that may ask again, and what is forgotten first.
//!
//! Promises: an id that was ever consumed is never run again while it is remembered at all; the
//! oldest answers of a client go first, then (much later) the memory that they were given. Writes
//! rows, absolute ones, into the frame that holds the answer itself. Does not know vats.

use std::collections::{BTreeMap, BTreeSet};

use kenvat_store::{PART_OVERHEAD_BYTES, Row};

use crate::api::{CLIENT_BYTES_MAX, REQUEST_ID_BYTES_MAX, RequestKey};
use crate::event::{Ledger, LedgerError};
use crate::limits::CoreLimits;
use crate::rows::{self, AnswerRow, ClientRow, OrderRow, Settled};

/// How many old answers one new answer may push out: the bounds are met again soon after a limit
/// was lowered, and no call pays for all of it.
const TRIM_STEPS_MAX: usize = 4;
/// How many old answers one frame may push out. A turn that settles tens of thousands of calls at
/// once is one frame; what is left over is pushed out by later ones.
const PUSHED_A_FRAME_MAX: usize = 4_096;
/// Bytes of rows that pushing out one answer takes.
const PUSHED_BYTES: usize = 2 * (KEY_BYTES_MAX + PART_OVERHEAD_BYTES);
/// Bytes of a row's key, where client and id are as long as may be: their lengths, a number.
const KEY_BYTES_MAX: usize = CLIENT_BYTES_MAX + REQUEST_ID_BYTES_MAX + 32;
/// Bytes of rows about an answer besides its keys and itself: hashes, numbers, lengths.
const ROWS_BYTES: usize = 128;

/// Where an answer stands that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Frame,
    /// In a spill file that the frame names behind the rows made here. They say, for the case of
    /// its damage, that there was an answer: it is never run again.
    Spilled,
}

/// The windows of all clients whose answers are kept.
#[derive(Debug)]
pub struct Answers {
    limits: CoreLimits,
    clients: BTreeMap<String, ClientRow>,
    /// Bytes of the answers kept, over all of them.
    bytes: u64,
    /// Clients whose window the frame being filled moves. Its row is written once a frame, when
    /// that is closed: of a thousand answers to one client only the last place counts.
    moved: BTreeSet<String>,
    /// Answers the frame being filled pushes out.
    pushed: usize,
}

impl Answers {
    /// Goes on from what the catalog holds.
    pub fn new(clients: Vec<(String, ClientRow)>, limits: CoreLimits) -> Answers {
        let bytes = clients.iter().map(|(_, window)| window.bytes).sum();
        Answers {
            limits,
            clients: clients.into_iter().collect(),
            bytes,
            moved: BTreeSet::new(),
            pushed: 0,
        }
    }

    /// The rows of windows that moved since the last call: for the frame that moves them.
    pub fn take_moved(&mut self) -> Vec<Row> {
        let moved = std::mem::take(&mut self.moved);
        self.pushed = 0;
        let row = |name: String| {
            let window = self.clients.get(&name)?;
            Some(rows::put(rows::CLIENTS, name.into_bytes(), window))
        };
        moved.into_iter().filter_map(row).collect()
    }

    /// The rows that keep this answer, and those that drop what it pushes out; those of windows
    /// that move are left to `take_moved`.
    pub fn keep(
        &mut self,
        (key, content): (&RequestKey, [u8; 32]),
        (settled, home): (&Settled, Home),
        ledger: &dyn Ledger,
    ) -> Result<Vec<Row>, LedgerError> {
        let mut client = self.clients.get(&key.client).copied().unwrap_or_default();
        let before = client.bytes;
        let bytes = settled.weight();
        let answer = match home {
            Home::Frame => AnswerRow::Settled {
                content,
                settled: settled.clone(),
            },
            Home::Spilled => AnswerRow::Gone,
        };
        let order = OrderRow {
            id: key.id.clone(),
            bytes,
        };
        let mut out = vec![
            rows::put(rows::ANSWERS, rows::answer_key(key), &answer),
            rows::put(
                rows::ANSWER_ORDER,
                rows::order_key(&key.client, client.next),
                &order,
            ),
        ];
        client.next += 1;
        client.bytes += bytes;
        for _ in 0..TRIM_STEPS_MAX {
            if self.pushes_no_more()
                || !drop_oldest(&key.client, &mut client, &self.limits, ledger, &mut out)?
            {
                break;
            }
            self.pushed += 1;
        }
        if !self.pushes_no_more()
            && forget_oldest(&key.client, &mut client, self.limits.ids, ledger, &mut out)?
        {
            self.pushed += 1;
        }
        self.bytes = self.bytes - before + client.bytes;
        self.move_window(&key.client);
        self.clients.insert(key.client.clone(), client);
        self.make_space(ledger, &mut out)?;
        Ok(out)
    }

    /// Over the host's bound, whoever has most kept gives up his oldest.
    fn make_space(&mut self, ledger: &dyn Ledger, out: &mut Vec<Row>) -> Result<(), LedgerError> {
        for _ in 0..TRIM_STEPS_MAX {
            if self.bytes <= self.limits.host_answer_bytes || self.pushes_no_more() {
                break;
            }
            let most = self
                .clients
                .iter_mut()
                .max_by_key(|(_, window)| window.bytes);
            let Some((name, window)) = most else { break };
            let before = window.bytes;
            if !drop_one(name, window, ledger, out)? {
                break;
            }
            self.bytes = self.bytes - before + window.bytes;
            self.pushed += 1;
            let name = name.clone();
            self.move_window(&name);
        }
        Ok(())
    }

    fn pushes_no_more(&self) -> bool {
        self.pushed >= PUSHED_A_FRAME_MAX
    }

    fn move_window(&mut self, name: &str) {
        if !self.moved.contains(name) {
            self.moved.insert(name.to_owned());
        }
    }
}

/// Bytes of rows that answers under these keys bring besides themselves, at most: the order they
/// were given in, their clients' windows, and what they push out.
pub fn rows_bytes<'a>(keys: impl Iterator<Item = &'a RequestKey>) -> usize {
    let (mut bytes, mut count) = (0, 0);
    for RequestKey { client, id } in keys {
        bytes += 3 * (client.len() + PART_OVERHEAD_BYTES) + 2 * id.len() + ROWS_BYTES;
        count += 1;
    }
    // Steps of its own, of the host's, and one that forgets.
    let pushed = PUSHED_A_FRAME_MAX.min(count * (2 * TRIM_STEPS_MAX + 1));
    bytes + pushed * PUSHED_BYTES
}

/// Replaces the oldest kept answer by the memory of it, where the client is over its limits.
fn drop_oldest(
    name: &str,
    client: &mut ClientRow,
    limits: &CoreLimits,
    ledger: &dyn Ledger,
    out: &mut Vec<Row>,
) -> Result<bool, LedgerError> {
    let kept = client.next - client.kept;
    let over = kept > limits.answers || client.bytes > limits.answer_bytes;
    if !over {
        return Ok(false);
    }
    drop_one(name, client, ledger, out)
}

/// Replaces the oldest kept answer by the memory of it. False when there is none to give up.
fn drop_one(
    name: &str,
    client: &mut ClientRow,
    ledger: &dyn Ledger,
    out: &mut Vec<Row>,
) -> Result<bool, LedgerError> {
    // The newest answer stays, whatever its size: its asker is about to read it.
    if client.next - client.kept <= 1 {
        return Ok(false);
    }
    // An order row that is not applied yet cannot be read; the next answer tries again.
    let Some(order) = order_row(name, client.kept, ledger)? else {
        return Ok(false);
    };
    let key = RequestKey {
        client: name.to_owned(),
        id: order.id,
    };
    out.push(rows::put(
        rows::ANSWERS,
        rows::answer_key(&key),
        &AnswerRow::Gone,
    ));
    client.kept += 1;
    client.bytes = client.bytes.saturating_sub(order.bytes);
    Ok(true)
}

fn forget_oldest(
    name: &str,
    client: &mut ClientRow,
    most: u64,
    ledger: &dyn Ledger,
    out: &mut Vec<Row>,
) -> Result<bool, LedgerError> {
    if client.kept - client.first <= most {
        return Ok(false);
    }
    let Some(order) = order_row(name, client.first, ledger)? else {
        return Ok(false);
    };
    let key = RequestKey {
        client: name.to_owned(),
        id: order.id,
    };
    out.push(rows::delete(rows::ANSWERS, rows::answer_key(&key)));
    out.push(rows::delete(
        rows::ANSWER_ORDER,
        rows::order_key(name, client.first),
    ));
    client.first += 1;
    Ok(true)
}

fn order_row(name: &str, seq: u64, ledger: &dyn Ledger) -> Result<Option<OrderRow>, LedgerError> {
    match ledger.get(rows::ANSWER_ORDER, &rows::order_key(name, seq)) {
        Ok(Some(bytes)) => Ok(rows::read(rows::ANSWER_ORDER, &bytes).ok()),
        Ok(None) => Ok(None),
        Err(error) if ledger.has_stopped() => Err(error),
        // One row that cannot be read keeps what it names; `verify` tells of it.
        Err(_) => Ok(None),
    }
}
