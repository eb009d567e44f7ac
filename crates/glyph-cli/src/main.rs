//! The `glyph` command: long text as pages, read and answered by a vision-language model.

mod args;
mod ask;
mod ask_report;
mod budget;
mod bundled;
mod device;
mod document;
mod error;
mod generation;
mod info;
mod info_table;
mod memory;
mod model;
mod output;
mod progress;
mod read;
mod render;
mod report;
mod style;
mod text_input;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::error::CliError;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    progress::clear_on_interrupt();
    let outcome = match &cli.command {
        Command::Ask(args) => ask::run(args),
        Command::Read(args) => read::run(args),
        Command::Render(args) => render::run(args),
        Command::Info(args) => info::run(args),
        Command::Completions { shell } => completions(*shell),
    };
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    progress::clear();
    if !error.is_silent() {
        output::note(&format!("error: {error}"));
    }
    ExitCode::from(error.exit_code())
}

/// Prints a completion script. It is collected first: the generator panics when a pipe closes.
fn completions(shell: clap_complete::Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "glyph", &mut script);
    output::bytes(&script)
}
