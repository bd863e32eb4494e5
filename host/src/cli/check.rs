//! `kenvat check`: reads a program as deployment does, and runs nothing of it.
//!
//! Promises: no store is looked for, created or used; the errors are those that deployment shows,
//! with the author's lines, and all that reading finds are shown at once. Does not decide what is
//! an error: the engine does.

use std::fmt::Write as _;
use std::path::Path;

use kenvat_engine::api::ProgramReport;
use serde::Serialize;

use crate::cli::reporter::Reporter;
use crate::sources::{self, Sources};
use crate::user_error::UserError;

/// The result in its JSON form.
#[derive(Debug, Serialize)]
struct CheckSheet<'a> {
    entry: &'a str,
    shape: &'a str,
    exports: &'a [String],
    files: Vec<&'a str>,
}

/// Reads the program and reports.
pub fn check(file: &Path, reporter: &Reporter) -> Result<(), UserError> {
    let sources = sources::collect(file)?;
    // The hint of a deployment, that no vat was left behind, does not fit here.
    let refused = |error: UserError| sources.point_out(error).with_hint("");
    let report = kenvat_engine::check(&sources.entry, &sources.files)
        .map_err(|error| refused(UserError::from(error)))?;
    let mut errors = report
        .errors
        .iter()
        .map(|error| refused(UserError::from(error.clone())));
    if let Some(mut first) = errors.next() {
        first.others = errors.collect();
        return Err(first);
    }
    let files = sources.files.iter().map(|(path, _)| path.as_str());
    let sheet = CheckSheet {
        entry: &sources.entry,
        shape: &report.shape,
        exports: &report.exports,
        files: files.collect(),
    };
    reporter.result(&sheet, || sentence(&sources, &report));
    Ok(())
}

fn sentence(sources: &Sources, report: &ProgramReport) -> String {
    let root = match report.shape.as_str() {
        "default" => "its default export makes the root object".to_owned(),
        "commonjs" => {
            "it is CommonJS, and what it puts on `exports` makes the root object".to_owned()
        }
        _ => {
            let is_init = |name: &&String| name.as_str() == "init";
            let methods = report.exports.iter().filter(|name| !is_init(name));
            let methods: Vec<&str> = methods.map(String::as_str).collect();
            format!(
                "the functions among its exports are the root object's methods: {}",
                methods.join(", ")
            )
        }
    };
    let mut text = format!("{} can be read: {root}", sources.entry);
    if report.exports.iter().any(|name| name == "init") {
        text.push_str("; init runs once");
    }
    if let count @ 2.. = sources.files.len() {
        let names = sources.files.iter().map(|(path, _)| path.as_str());
        let names: Vec<&str> = names.take(NAMES_SHOWN).collect();
        let more = if count > NAMES_SHOWN { ", …" } else { "" };
        let _ = write!(text, "\n{count} files: {}{more}", names.join(", "));
    }
    text
}

/// How many names of files are shown.
const NAMES_SHOWN: usize = 20;
