//! `kenvat check`: a program is read as for deploying it, and nothing of it runs.
//!
//! Promises: no store is looked for, made or disturbed; errors are those a deployment shows, with
//! the author's lines, all that reading finds at once. Does not know what is an error: the engine
//! says.

use std::fmt::Write as _;
use std::path::Path;

use kenvat_engine::api::ProgramReport;
use serde::Serialize;

use crate::cli::reporter::Reporter;
use crate::sources::{self, Sources};
use crate::user_error::UserError;

/// What was found, for programs.
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
    // Nothing was to be left behind, here or in a store.
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

/// Files a person is shown the names of.
const NAMES_SHOWN: usize = 20;
