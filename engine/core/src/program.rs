//! What is said of a program before and while it starts, whether it is deployed or only read.

use kenvat_wire::protocol::EXIT_HEAP_LIMIT;

use crate::api::DeployError;
use crate::event::Death;

/// Whether these can be a program's sources.
pub fn check_sources(
    entry: &str,
    files: &[(String, String)],
    give: &[(String, String)],
    most: usize,
) -> Result<(), DeployError> {
    let texts = files.iter().chain(give);
    let bytes: usize = texts.map(|(name, text)| name.len() + text.len()).sum();
    if bytes > most {
        return Err(DeployError::BadRequest(format!(
            "the sources have {bytes} bytes together; the limit is {most}"
        )));
    }
    if !files.iter().any(|(path, _)| path == entry) {
        let why = format!("the entry {entry} is not among the files");
        return Err(DeployError::BadRequest(why));
    }
    Ok(())
}

/// The program is too much for one turn.
pub fn takes_too_long() -> DeployError {
    let message = "reading and starting the program took longer than a turn may run (`kenvat \
                   limits`, turn)";
    DeployError::of_program(message.to_owned())
}

/// How a worker's end is told to people.
pub fn describe(death: Death) -> String {
    match death {
        Death::Killed => "was killed".to_owned(),
        Death::Signal(signal) => format!("died of signal {signal}"),
        Death::Exit(EXIT_HEAP_LIMIT) => "reached the vat's heap limit".to_owned(),
        Death::Clock => "ran a turn longer than it may".to_owned(),
        Death::NoSpace => "had no room on the disk".to_owned(),
        Death::Exit(code) => format!("ended with status {code}"),
    }
}
