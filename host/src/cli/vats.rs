//! `ls`, `show`, `sleep`, `wake`, `terminate`.
//!
//! Promises: everything shown is committed. Does not know whether a host runs.

use std::path::Path;

use crate::cli::ask;
use crate::cli::reporter::Reporter;
use crate::control::protocol::Ask;
use crate::control::report::{VatLine, VatSheet};
use crate::control::store_folder;
use crate::user_error::{UserError, bytes};

/// Lists the vats; a store that does not exist has none.
pub async fn ls(dir: &Path, reporter: &Reporter) -> Result<(), UserError> {
    let lines: Vec<VatLine> = match store_folder::has_store(dir)? {
        true => ask::once(dir, Ask::List, reporter).await?,
        false => Vec::new(),
    };
    if lines.is_empty() {
        reporter.detail(&format!("the store is {}", dir.display()));
        reporter.note("there are no vats yet; kenvat run FILE.js makes one");
    }
    reporter.result(&lines, || table(&lines));
    Ok(())
}

/// Shows one vat.
pub async fn show(dir: &Path, vat: String, reporter: &Reporter) -> Result<(), UserError> {
    let sheet: VatSheet = ask::once(dir, Ask::Show { vat }, reporter).await?;
    reporter.result(&sheet, || full(&sheet));
    Ok(())
}

/// Ends a vat's process until the next message.
pub async fn sleep(dir: &Path, vat: String, reporter: &Reporter) -> Result<(), UserError> {
    act(
        dir,
        &vat,
        Ask::Sleep { vat: vat.clone() },
        "asleep",
        reporter,
    )
    .await
}

/// Starts a vat's process. Without a host the process ends with this command, which has then shown
/// that the vat starts.
pub async fn wake(dir: &Path, vat: String, reporter: &Reporter) -> Result<(), UserError> {
    act(dir, &vat, Ask::Wake { vat: vat.clone() }, "awake", reporter).await
}

/// Ends a vat for good.
pub async fn terminate(
    dir: &Path,
    vat: String,
    yes: bool,
    reporter: &Reporter,
) -> Result<(), UserError> {
    reporter.confirm(
        &format!("Terminate {vat}, with its heap and its log, for good?"),
        yes,
    )?;
    act(
        dir,
        &vat,
        Ask::Terminate { vat: vat.clone() },
        "terminated",
        reporter,
    )
    .await
}

async fn act(
    dir: &Path,
    vat: &str,
    ask: Ask,
    state: &str,
    reporter: &Reporter,
) -> Result<(), UserError> {
    ask::once::<()>(dir, ask, reporter).await?;
    let report = serde_json::json!({"name": vat, "state": state});
    reporter.result(&report, || format!("{vat} is {state}"));
    Ok(())
}

fn state(line: &VatLine) -> String {
    match line.no_room {
        true => format!("{}, disk full", line.state),
        false => line.state.clone(),
    }
}

fn table(lines: &[VatLine]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut rows = vec![["NAME", "STATE", "TURNS", "HEAP", "OPEN", "ENGINE"].map(str::to_owned)];
    rows.extend(lines.iter().map(|line| {
        [
            line.name.clone(),
            state(line),
            line.turns.to_string(),
            bytes(line.heap_bytes),
            line.open_requests.to_string(),
            line.engine.chars().take(ENGINE_CHARS).collect(),
        ]
    }));
    align(&rows)
}

/// Columns as wide as their widest cell, two spaces apart.
pub fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

fn full(sheet: &VatSheet) -> String {
    let line = &sheet.line;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let pid = sheet
        .worker_pid
        .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let heap = format!(
        "{} of {}",
        bytes(line.heap_bytes),
        bytes(sheet.limits.heap_bytes)
    );
    let peers = if sheet.peers.is_empty() {
        "-".to_owned()
    } else {
        sheet.peers.join(", ")
    };
    let rows = [
        ("name", line.name.clone()),
        ("id", line.id.to_string()),
        ("state", state(line)),
        ("process", pid),
        ("turns", line.turns.to_string()),
        ("heap", heap),
        (
            "a turn",
            format!(
                "{} gas, {} ms; kenvat limits {} shows all",
                sheet.limits.gas, sheet.limits.turn_ms, line.name
            ),
        ),
        ("open requests", line.open_requests.to_string()),
        ("outbox", line.outbox.to_string()),
        ("peers", peers),
        ("engine", line.engine.clone()),
        ("genesis sha256", sheet.genesis_sha256.clone()),
        ("source sha256", line.source_sha256.clone()),
        ("heap sha256", or_none(&sheet.heap_sha256)),
        ("last error", or_none(&sheet.last_error)),
    ];
    align(&rows.map(|(name, value)| [name.to_owned(), value]))
}

/// Characters of an engine's hash that are shown: enough to tell engines apart.
const ENGINE_CHARS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows =
            [["NAME", "N"], ["a", "1000"], ["longer", "2"]].map(|row| row.map(str::to_owned));
        assert_eq!(align(&rows), "NAME    N\na       1000\nlonger  2");
    }
}
