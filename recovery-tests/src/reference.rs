//! The simulated program on maps: what each vat ought to be after its requests.
//!
//! Shares the layout's reader and the texts of log lines with `words`, and nothing else, so that
//! neither can hide a mistake of the other.

use std::collections::BTreeMap;

use crate::program::{Knowledge, Method, PENDING_MAX, SCRATCH_WORDS, Said, Token, flips, line_of};

/// The same program on maps, with what it said and logged.
#[derive(Debug)]
pub struct Reference {
    pub knowledge: Knowledge,
    pub said: BTreeMap<Token, Said>,
    pub log: String,
}

impl Default for Reference {
    /// Nothing has run.
    fn default() -> Reference {
        let scratch = vec![0; SCRATCH_WORDS as usize];
        let knowledge = Knowledge {
            scratch,
            ..Knowledge::default()
        };
        Reference {
            knowledge,
            said: BTreeMap::new(),
            log: String::new(),
        }
    }
}

impl Reference {
    pub fn run(&mut self, turn: u64, token: Token, method: Method) {
        let known = &mut self.knowledge;
        let flips = flips(known.executed.len() as u64) as usize;
        known.scratch[..=flips]
            .iter_mut()
            .for_each(|word| *word ^= 1);
        known.executed.push((turn, token));
        let said = match method {
            Method::Incr => {
                known.counter += 1;
                Said::Value(known.counter.to_string())
            }
            Method::Set { key, value } => {
                let old = known.values.insert(key, value).unwrap_or(0);
                Said::Value(old.to_string())
            }
            Method::Later if known.pending.len() as u64 >= PENDING_MAX => {
                Said::Value("\"full\"".to_owned())
            }
            Method::Later => {
                known.pending.push((turn, token));
                return;
            }
            Method::Release => {
                let released = std::mem::take(&mut known.pending);
                for (_, waiting) in &released {
                    self.said
                        .insert(*waiting, Said::Value(known.counter.to_string()));
                }
                Said::Value(released.len().to_string())
            }
            Method::Throw => {
                known.counter += 1;
                Said::Thrown(token.to_string())
            }
            Method::Log => {
                known.lines += 1;
                self.log
                    .push_str(&format!("{turn} log {}\n", line_of(token)));
                Said::Value(known.lines.to_string())
            }
            Method::Wake { ms } => Said::Value(ms.to_string()),
            Method::Fired => {
                known.counter += 1;
                return;
            }
            Method::Poison => Said::Thrown("a poisoned message was executed".to_owned()),
        };
        self.said.insert(token, said);
    }
}
