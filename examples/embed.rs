//! A Rust program with durable JavaScript inside: a guest book that goes on where it was, whatever
//! ended the program before.
//!
//! ```sh
//! cargo run --release -p kenvat-engine --example embed -- guest-book
//! ```
//!
//! Run it again, kill it with `kill -9` at any moment, run it again: every visit it printed is
//! still in the book.
//!
//! To carry vats in a program of your own, copy this file to `src/main.rs` of an empty package
//! whose only dependency is `kenvat-engine = { path = "…/engine" }`.

use std::error::Error;
use std::path::Path;

use kenvat_engine::{CallError, DeployError, Engine, Fault};

/// The program of the vat: an ES module. Its exported functions can be called, and whatever its
/// closures hold is kept: it writes no file and asks no database.
const GUEST_BOOK: &str = "
    const visits = new Map();
    let total = 0;
    export const sign = (guest) => {
        if (typeof guest !== 'number') throw TypeError('guests sign with their number');
        visits.set(guest, (visits.get(guest) ?? 0) + 1);
        return [++total, visits.get(guest)];
    };
    export const count = () => total;
";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "guest-book".to_owned());
    let times: u64 = args.next().map_or(Ok(3), |times| times.parse())?;
    visit(Path::new(&folder), times)
}

/// Signs the book in this folder so many times.
pub fn visit(folder: &Path, times: u64) -> Result<(), Box<dyn Error>> {
    // One engine holds a store at a time: a second one is told who has it (`OpenError::InUse`).
    let engine = Engine::open(folder)?;

    // A vat is made once; the next run of this program finds it as it was left.
    match engine.deploy("book", GUEST_BOOK) {
        Ok(_) => println!("a new guest book"),
        Err(DeployError::NameTaken(_)) => {
            let before = engine.call("book", "count", "[]")?;
            println!("a guest book with {before} visits");
        }
        Err(error) => return Err(error.into()),
    }

    // Arguments are one JSON array, and the answer is JSON. When `call` returns, the visit is
    // durable: what is printed here stays true after any crash.
    let guest = std::process::id();
    for _ in 0..times {
        let numbers = engine.call("book", "sign", &format!("[{guest}]"))?;
        println!("signed: {numbers}");
    }

    // An exception in the vat is an error with the vat's own words; nothing else changes there.
    match engine.call("book", "sign", "[\"nobody\"]") {
        Err(CallError::Thrown { name, message, .. }) => println!("refused: {name}: {message}"),
        // The disk, the machine, or the end of the engine: the same call may go well later.
        Err(error) if error.fault() == Fault::Host => return Err(error.into()),
        other => return Err(format!("a guest without a number signed: {other:?}").into()),
    }

    // Dropping the engine stops it as well; this says what went wrong.
    engine.stop()?;
    Ok(())
}
