//! Options and arguments, with an example for every command.
//!
//! Promises: what follows a call's METHOD is never an option. Does not check what only the store
//! knows.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::gateway::DEFAULT_LISTEN;
use crate::units;
use crate::user_error::UserError;

/// Hosts JavaScript vats whose whole heap outlives the process.
#[derive(Debug, Parser)]
#[command(name = "kenvat", version, after_help = TOP_EXAMPLE, subcommand_required = true)]
pub struct Cli {
    /// The folder of the store.
    #[arg(
        long,
        global = true,
        env = "KENVAT_DATA",
        default_value = ".kenvat",
        value_name = "DIR"
    )]
    pub data: PathBuf,
    /// Print results, and errors too, as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more of what is being done.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a vat from FILE if there is none of its name, and serve every vat until Ctrl-C.
    #[command(
        after_help = "Example:\n  kenvat run counter.js\n  kenvat run bank.js --name b1 \
        --give 'limit=json:100'"
    )]
    Run(RunArgs),
    /// Serve every vat in the store until Ctrl-C.
    #[command(
        after_help = "Example:\n  kenvat --data /srv/vats host --listen 127.0.0.1:8000\n  \
        kenvat host --limit heap=1GiB --limit turn=30s"
    )]
    Host(ListenArgs),
    /// Make a vat without serving it.
    #[command(
        after_help = "Example:\n  kenvat deploy counter.js --name c2\n  kenvat deploy big.js \
        --name big --limit heap=1GiB"
    )]
    Deploy(DeployArgs),
    /// Read a program as for deploying it, run nothing, and say what was found.
    #[command(
        after_help = "Needs no store and makes none. Shows every error in every file it imports; \
            exit status 1 if there are any.\n\nExample:\n  kenvat check counter.js\n  \
            kenvat --json check bank.js"
    )]
    Check {
        /// The program's JavaScript file.
        #[arg(value_name = "FILE.js")]
        file: PathBuf,
    },
    /// Call a method of a vat's root object and print the result as JSON.
    #[command(
        override_usage = "kenvat call [OPTIONS] VAT METHOD [ARG]...",
        after_help = "Each ARG is JSON, or a bare word taken as a string. After METHOD nothing is \
            an option.\n\nExample:\n  kenvat call counter incr 5\n  kenvat call shop order tea \
            '{\"count\":2}'\n  kenvat call --timeout 3 counter add -5"
    )]
    Call(CallArgs),
    /// List the vats.
    #[command(after_help = "Example:\n  kenvat ls\n  kenvat --json ls")]
    Ls,
    /// Show one vat in full.
    #[command(after_help = "Example:\n  kenvat show counter")]
    Show { vat: String },
    /// Put a vat's process away; the next message brings it back.
    #[command(after_help = "Example:\n  kenvat sleep counter")]
    Sleep { vat: String },
    /// Bring a vat's process back now.
    #[command(after_help = "Example:\n  kenvat wake counter")]
    Wake { vat: String },
    /// End a vat for good: its heap, its log, its name.
    #[command(
        after_help = "Example:\n  kenvat terminate counter\n  kenvat terminate counter --yes"
    )]
    Terminate {
        vat: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Print a vat's console output, as far as it is committed.
    #[command(after_help = "Example:\n  kenvat logs counter\n  kenvat logs counter -f")]
    Logs {
        vat: String,
        /// Go on printing as more is committed.
        #[arg(short, long)]
        follow: bool,
    },
    /// Read every byte of the store against its checksums.
    #[command(
        after_help = "Exit status 3 if anything is damaged.\n\nExample:\n  kenvat verify\n  \
        kenvat --json verify"
    )]
    Verify,
    /// Show every limit with its value and where it was set; change those of one vat.
    #[command(
        after_help = "Limits of the whole host are set where it starts: kenvat host --limit.\n\n\
        Example:\n  kenvat limits\n  kenvat limits counter\n  kenvat limits counter --set \
        heap=1GiB --set turn=30s"
    )]
    Limits(LimitsArgs),
    /// Measure what turns, starts and vats cost here, beside the raw disk.
    #[command(
        after_help = "Without a name all benches run: about ten minutes, and 4 GiB of disk. With \
            --json each result is printed as one line and appended to benches/results.jsonl \
            where there is such a folder.\n\nExample:\n  kenvat bench --list\n  kenvat bench \
            checkpoint throughput\n  kenvat --json bench --plot turns.svg checkpoint"
    )]
    Bench(BenchArgs),
}

/// Options of the commands that serve.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Where the gateway listens; port 0 takes a free one.
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDR")]
    pub listen: String,
    /// Let other machines connect although tokens travel in clear.
    #[arg(long)]
    pub insecure: bool,
    /// Set a limit of this host, until it stops: heap=1GiB, gas=100_000_000, turn=10s, awake=500.
    #[arg(long, value_name = "NAME=VALUE")]
    pub limit: Vec<String>,
}

impl ListenArgs {
    /// The limits that were set.
    pub fn limits(&self) -> Result<Vec<(String, u64)>, UserError> {
        units::settings(&self.limit)
    }
}

/// What a vat is made from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The JavaScript module whose default export makes the vat.
    #[arg(value_name = "FILE.js")]
    pub file: PathBuf,
    /// Give the vat `powers.K`: `json:…` for data.
    #[arg(long, value_name = "K=V")]
    pub give: Vec<String>,
    /// Withhold a power every vat has otherwise: abort, clock, random, timer.
    #[arg(long, value_name = "POWER")]
    pub deny: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// The vat's name [default: the file's stem].
    #[arg(long, value_name = "N")]
    pub name: Option<String>,
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Terminate the vat of that name, if there is one, and begin anew (asks first).
    #[arg(long)]
    pub fresh: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct DeployArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// The vat's name.
    #[arg(long, value_name = "N")]
    pub name: String,
    /// Give the vat a limit of its own: heap, gas or turn.
    #[arg(long, value_name = "NAME=VALUE")]
    pub limit: Vec<String>,
}

#[derive(Debug, Args)]
pub struct LimitsArgs {
    /// The vat whose limits are meant.
    pub vat: Option<String>,
    /// Give the vat a limit of its own, from its next process on: heap, gas or turn.
    #[arg(long, value_name = "NAME=VALUE", requires = "vat")]
    pub set: Vec<String>,
    /// Let the host's limit count for the vat again.
    #[arg(long, value_name = "NAME", requires = "vat")]
    pub unset: Vec<String>,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The benches to run [default: all].
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// List the benches.
    #[arg(long)]
    pub list: bool,
    /// Run each as small as it can be: to see that it works, not what it costs.
    #[arg(long)]
    pub quick: bool,
    /// Where fresh folders are made and taken away; on the disk to be measured [default: the
    /// folder that holds the store's].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// With --json, append the results to FILE.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Draw the times.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CallArgs {
    /// Make the call idempotent: asked again with the same id, it answers again and runs nothing.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Stop waiting after this many seconds (exit status 4); the call goes on.
    #[arg(long, value_name = "S")]
    pub timeout: Option<f64>,
    /// The vat's name.
    pub vat: String,
    /// METHOD and its arguments. One list, because options end here.
    #[arg(
        value_name = "METHOD [ARG]",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub method_and_args: Vec<String>,
}

const TOP_EXAMPLE: &str = "\
Example:
  kenvat run counter.js            in one terminal
  kenvat call counter incr         in another; kill the first and go on

Exit status: 0 done; 1 the vat answered with an error; 2 wrong usage;
3 the host or its files are at fault; 4 call stopped waiting.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn call(line: &[&str]) -> (Cli, Vec<String>) {
        let cli = Cli::try_parse_from([&["kenvat"], line].concat()).expect("parses");
        let Command::Call(args) = &cli.command else {
            panic!("not a call")
        };
        let rest = args.method_and_args.clone();
        (cli, rest)
    }

    #[test]
    fn the_definition_is_consistent_and_every_command_has_an_example() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().expect("has one").to_string();
            let example = format!(" {}", command.get_name());
            assert!(
                help.contains("Example:") && help.contains(&example),
                "{example}"
            );
        }
    }

    #[test]
    fn after_the_method_nothing_is_an_option() {
        let (cli, rest) = call(&["call", "c", "add", "-5", "--json", "--id", "-v", "--", "x"]);
        assert_eq!(rest, ["add", "-5", "--json", "--id", "-v", "--", "x"]);
        assert!(!cli.json && !cli.verbose);
        let (cli, rest) = call(&["call", "c", "--json", "read"]);
        assert!(cli.json);
        assert_eq!(rest, ["read"]);
        let (cli, rest) = call(&["--json", "call", "--timeout", "1", "c", "f", "--help"]);
        assert!(cli.json);
        assert_eq!(rest, ["f", "--help"]);
    }

    #[test]
    fn a_call_without_a_method_is_misuse() {
        assert!(Cli::try_parse_from(["kenvat", "call", "c"]).is_err());
        assert!(Cli::try_parse_from(["kenvat", "chek", "c.js"]).is_err());
    }
}
