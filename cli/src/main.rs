//! The `subrosa` command: parses, calls the engine, prints.
//!
//! It must never print anything but data to stdout, nor what records hold to stderr. Specified in `docs/CLI.md`.

mod access;
mod args;
mod clock;
mod commands;
mod demo;
mod execute;
mod failure;
mod holder;
mod host;
mod joining;
mod keyfile;
mod line;
mod place;
mod request;
mod stop;
mod terminal;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::failure::Failure;

fn main() -> ExitCode {
    let done = match demo::relay::asked_for(std::env::args_os().skip(1)) {
        Some(data) => demo::relay::serve(&data),
        None => commands::run(args::Cli::parse()),
    };
    match done {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell when stderr is closed too; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "subrosa: {failure}; {}", failure.remedy());
            ExitCode::FAILURE
        }
    }
}
