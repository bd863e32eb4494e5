//! Answers kept for clients that may ask again, and what is forgotten first.
//!
//! Promises: an id that was ever consumed is never run again while it is remembered at all; the
//! oldest answers of a client go first, then (much later) the memory that they were given. Writes
//! rows, absolute ones, into the frame that holds the answer itself. Does not know vats.

use std::collections::HashMap;

use kenvat_store::Row;

use super::event::{Ledger, LedgerError};
use super::limits::{ANSWER_BYTES_MAX, ANSWERS_GONE_MAX, ANSWERS_MAX};
use super::rows::{self, AnswerRow, ClientRow, OrderRow, Settled};
use crate::api::RequestKey;

/// How many old answers one new answer may push out: bounds the rows of one frame.
const TRIM_STEPS_MAX: usize = 4;

/// The windows of the clients heard of in this life of the host.
#[derive(Debug, Default)]
pub struct Answers {
    clients: HashMap<String, ClientRow>,
}

impl Answers {
    /// The rows that keep this answer, and those that drop what it pushes out.
    pub fn keep(
        &mut self,
        key: &RequestKey,
        content: [u8; 32],
        settled: &Settled,
        ledger: &dyn Ledger,
    ) -> Result<Vec<Row>, LedgerError> {
        let mut client = self.window(&key.client, ledger)?;
        let bytes = settled.weight();
        let answer = AnswerRow::Settled {
            content,
            settled: settled.clone(),
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
            if !drop_oldest(&key.client, &mut client, ledger, &mut out)? {
                break;
            }
        }
        forget_oldest(&key.client, &mut client, ledger, &mut out)?;
        out.push(rows::put(
            rows::CLIENTS,
            key.client.as_bytes().to_vec(),
            &client,
        ));
        self.clients.insert(key.client.clone(), client);
        Ok(out)
    }

    fn window(&self, client: &str, ledger: &dyn Ledger) -> Result<ClientRow, LedgerError> {
        if let Some(window) = self.clients.get(client) {
            return Ok(*window);
        }
        match ledger.get(rows::CLIENTS, client.as_bytes())? {
            Some(bytes) => Ok(rows::read(rows::CLIENTS, &bytes)?),
            None => Ok(ClientRow::default()),
        }
    }
}

/// Replaces the oldest kept answer by the memory of it, where the client is over its limits.
fn drop_oldest(
    name: &str,
    client: &mut ClientRow,
    ledger: &dyn Ledger,
    out: &mut Vec<Row>,
) -> Result<bool, LedgerError> {
    // The newest answer stays, whatever its size: its asker is about to read it.
    let over = client.next - client.kept > ANSWERS_MAX || client.bytes > ANSWER_BYTES_MAX;
    if !over || client.next - client.kept <= 1 {
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
    ledger: &dyn Ledger,
    out: &mut Vec<Row>,
) -> Result<(), LedgerError> {
    if client.kept - client.first <= ANSWERS_GONE_MAX {
        return Ok(());
    }
    let Some(order) = order_row(name, client.first, ledger)? else {
        return Ok(());
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
    Ok(())
}

fn order_row(name: &str, seq: u64, ledger: &dyn Ledger) -> Result<Option<OrderRow>, LedgerError> {
    match ledger.get(rows::ANSWER_ORDER, &rows::order_key(name, seq))? {
        Some(bytes) => Ok(Some(rows::read(rows::ANSWER_ORDER, &bytes)?)),
        None => Ok(None),
    }
}
