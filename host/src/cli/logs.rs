//! `kenvat logs`.
//!
//! Promises: prints committed lines only, each once, in order; following survives the host's end
//! and holds no store while it waits. Does not know how logs are kept.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use crate::cli::ask;
use crate::cli::voice::Voice;
use crate::control::client::AskError;
use crate::control::place::{self, Place};
use crate::control::protocol::Ask;
use crate::control::report::LogPiece;
use crate::people::{Trouble, plain};

/// Bytes of log asked for at a time.
const PIECE_BYTES: u32 = 1 << 20;

/// Between two questions for more, while there is none.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// How far we have printed.
struct Reader<'a> {
    vat: String,
    from: u64,
    voice: &'a Voice,
}

/// Prints a vat's log, and with `follow` what comes later.
pub async fn logs(dir: &Path, vat: String, follow: bool, voice: &Voice) -> Result<(), Trouble> {
    let mut reader = Reader {
        vat,
        from: 0,
        voice,
    };
    let mut place = ask::reach(dir, voice).await?;
    let read = reader.catch_up(&mut place).await;
    if !follow {
        place.close().await?;
        return read.map_err(ended);
    }
    let mut host = match place {
        Place::Host(_) => Some(place),
        own => {
            own.close().await?;
            None
        }
    };
    settle(read, &mut host)?;
    if host.is_none() {
        voice.note("no host runs; waiting for one");
    }
    loop {
        sleep(FOLLOW_EVERY).await;
        match &mut host {
            Some(place) => {
                let read = reader.catch_up(place).await;
                settle(read, &mut host)?;
            }
            None => host = place::connect(dir).await?.map(Place::Host),
        }
    }
}

/// A host that ended is waited for; any other trouble ends the command.
fn settle(read: Result<(), AskError>, host: &mut Option<Place>) -> Result<(), Trouble> {
    match read {
        Ok(()) => Ok(()),
        Err(AskError::Trouble(trouble)) if !trouble.is_stopped() => Err(trouble),
        Err(_) => {
            *host = None;
            Ok(())
        }
    }
}

fn ended(error: AskError) -> Trouble {
    match error {
        AskError::Trouble(trouble) => trouble,
        AskError::Lost(why) => Trouble::host(
            format!("the host ended before the log did ({why})"),
            "ask again",
        ),
    }
}

impl Reader<'_> {
    /// Prints everything there is from where we are.
    async fn catch_up(&mut self, place: &mut Place) -> Result<(), AskError> {
        loop {
            let question = Ask::Logs {
                vat: self.vat.clone(),
                from: self.from,
                bytes_max: PIECE_BYTES,
            };
            let answer = place.ask(&question).await?;
            let piece: LogPiece = ask::understand(&answer).map_err(AskError::Trouble)?;
            if piece.oldest > self.from {
                self.voice.note("(older lines are no longer kept)");
            }
            for line in piece.text.lines() {
                self.print(line);
            }
            // What does not move on is the end, also when a host says so by mistake.
            if piece.next <= self.from {
                return Ok(());
            }
            self.from = piece.next;
        }
    }

    /// One line `TURN LEVEL TEXT`.
    fn print(&self, line: &str) {
        if !self.voice.is_json() {
            return self.voice.line(&plain(line));
        }
        let mut parts = line.splitn(3, ' ');
        let turn: Option<u64> = parts.next().and_then(|turn| turn.parse().ok());
        let (level, text) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let line = serde_json::json!({"turn": turn, "level": level, "text": text});
        self.voice.line(&line.to_string());
    }
}
