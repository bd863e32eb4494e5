//! The process of one vat. Started by the host with a socket and a heap image; see
//! the library beside it.

use std::process::ExitCode;

use kenvat_worker::serve::{End, serve};

fn main() -> ExitCode {
    let end = serve();
    if !matches!(end, End::Closed) {
        eprintln!("kenvat-worker: {end}");
    }
    ExitCode::from(u8::try_from(end.status()).unwrap_or(1))
}
