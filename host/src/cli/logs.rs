//! `kenvat logs`.
//!
//! Promises: prints committed lines only, each once and in order; `--follow` goes on when the host
//! ends, and holds no store while it waits. Does not know how logs are stored.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use crate::cli::ask;
use crate::cli::reporter::Reporter;
use crate::control::client::AskError;
use crate::control::endpoint::{self, Endpoint};
use crate::control::protocol::Ask;
use crate::control::report::LogPiece;
use crate::user_error::{UserError, plain};

/// Bytes of log in one answer.
const PIECE_BYTES: u32 = 1 << 20;

/// Pause between two questions when there was nothing new.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Prints a log and keeps how far it has printed.
struct Reader<'a> {
    vat: String,
    from: u64,
    reporter: &'a Reporter,
}

/// Prints a vat's log, and with `follow` also what is logged later.
pub async fn logs(
    dir: &Path,
    vat: String,
    follow: bool,
    reporter: &Reporter,
) -> Result<(), UserError> {
    let mut reader = Reader {
        vat,
        from: 0,
        reporter,
    };
    let mut endpoint = ask::reach(dir, reporter).await?;
    let read = reader.catch_up(&mut endpoint).await;
    if !follow {
        endpoint.close().await?;
        return read.map_err(ended);
    }
    let mut host = match endpoint {
        Endpoint::Host(_) => Some(endpoint),
        own => {
            own.close().await?;
            None
        }
    };
    handle(read, &mut host)?;
    if host.is_none() {
        reporter.note("no host runs; waiting for one");
    }
    loop {
        sleep(FOLLOW_EVERY).await;
        match &mut host {
            Some(endpoint) => {
                let read = reader.catch_up(endpoint).await;
                handle(read, &mut host)?;
            }
            None => host = endpoint::connect(dir).await?.map(Endpoint::Host),
        }
    }
}

/// Takes the result of a read: after the end of a host the command waits for the next one; any
/// other error ends it.
fn handle(read: Result<(), AskError>, host: &mut Option<Endpoint>) -> Result<(), UserError> {
    match read {
        Ok(()) => Ok(()),
        Err(AskError::Failed(error)) if !error.is_stopped() => Err(error),
        Err(_) => {
            *host = None;
            Ok(())
        }
    }
}

fn ended(error: AskError) -> UserError {
    match error {
        AskError::Failed(error) => error,
        AskError::Lost(why) => UserError::host(
            format!("the host ended before the log did ({why})"),
            "ask again",
        ),
    }
}

impl Reader<'_> {
    /// Prints everything that was not printed yet.
    async fn catch_up(&mut self, endpoint: &mut Endpoint) -> Result<(), AskError> {
        loop {
            let question = Ask::Logs {
                vat: self.vat.clone(),
                from: self.from,
                bytes_max: PIECE_BYTES,
            };
            let answer = endpoint.ask(&question).await?;
            let piece: LogPiece = ask::understand(&answer).map_err(AskError::Failed)?;
            if piece.oldest > self.from {
                self.reporter.note("(older lines are no longer kept)");
            }
            for line in piece.text.lines() {
                self.print(line);
            }
            // An answer that does not advance is the end, also if it comes from a host's mistake.
            if piece.next <= self.from {
                return Ok(());
            }
            self.from = piece.next;
        }
    }

    /// Prints one line, `TURN LEVEL TEXT`.
    fn print(&self, line: &str) {
        if !self.reporter.is_json() {
            return self.reporter.line(&plain(line));
        }
        let mut parts = line.splitn(3, ' ');
        let turn: Option<u64> = parts.next().and_then(|turn| turn.parse().ok());
        let (level, text) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let line = serde_json::json!({"turn": turn, "level": level, "text": text});
        self.reporter.line(&line.to_string());
    }
}
