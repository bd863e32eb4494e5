//! Plants the faults of `recovery-tests/faults`, one at a time, and lists those no test noticed.
//!
//! ```sh
//! cargo run -p kenvat-recovery-tests --bin plant-faults              # all: an hour or two
//! cargo run -p kenvat-recovery-tests --bin plant-faults -- journal   # name or file has this
//! cargo run -p kenvat-recovery-tests --bin plant-faults -- --list
//! ```
//!
//! Exit status: 0 every fault was noticed or is argued to be equal, 1 one survived or could not be
//! tried, 2 the run itself failed.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use kenvat_recovery_tests::faults::{Fault, Tree, Trial, Verdict, read_all};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("plant-faults: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = here.parent().ok_or("this crate has no folder above it")?;
    let mut faults = read_all(&here.join("faults"))?;
    if wanted.iter().any(|word| word == "--list") {
        for fault in &faults {
            println!("{}: {}", fault.file, fault.name);
        }
        println!("{} faults", faults.len());
        return Ok(true);
    }
    faults.retain(|fault| wanted.is_empty() || wanted.iter().any(|word| matches(fault, word)));
    if faults.is_empty() {
        return Err("no fault has that in its name or its file; --list shows them".into());
    }
    let tree = Tree::of(workspace, &workspace.join("target").join("faults"))?;
    let trial = Trial::new(&tree);
    let mut left: Vec<String> = Vec::new();
    let mut counts = [0_usize; 4];
    for (at, fault) in faults.iter().enumerate() {
        let began = Instant::now();
        let verdict = judge(&tree, &trial, fault)?;
        let (place, word) = match &verdict {
            Verdict::Caught => (0, "caught"),
            Verdict::Equal => (1, "equal"),
            Verdict::Survived => (2, "SURVIVED"),
            Verdict::Broken(_) => (3, "BROKEN"),
        };
        counts[place] += 1;
        let seconds = began.elapsed().as_secs();
        println!(
            "{}/{} {word} ({seconds} s): {}: {}",
            at + 1,
            faults.len(),
            fault.file,
            fault.name
        );
        match verdict {
            Verdict::Survived => left.push(format!("{}: {}", fault.file, fault.name)),
            Verdict::Broken(why) => left.push(format!("{}: {}: {why}", fault.file, fault.name)),
            Verdict::Caught | Verdict::Equal => {}
        }
    }
    let [caught, equal, survived, broken] = counts;
    println!("\n{caught} caught, {equal} equal, {survived} survived, {broken} could not be tried");
    for line in &left {
        println!("{line}");
    }
    Ok(left.is_empty())
}

fn matches(fault: &Fault, word: &str) -> bool {
    fault.name.contains(word) || fault.file.contains(word)
}

/// Tries one fault: its tests must pass without it and fail with it.
fn judge(tree: &Tree, trial: &Trial, fault: &Fault) -> Result<Verdict, Box<dyn Error>> {
    let sound = trial.without(fault)?;
    if let Verdict::Broken(_) = sound {
        return Ok(sound);
    }
    match tree.plant(fault) {
        Ok(_planted) => Ok(trial.with(fault)?),
        Err(error) => Ok(Verdict::Broken(error.to_string())),
    }
}
