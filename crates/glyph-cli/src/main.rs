//! The `glyph` command: long text as pages, read and answered by a vision-language model.

mod args;
mod ask;
mod ask_report;
mod bench;
mod bench_args;
mod budget;
mod bundled;
mod device;
mod devices;
mod document;
mod error;
mod fetch;
mod figures_table;
mod generation;
mod hub;
mod hub_cache;
mod hub_checksum;
mod hub_error;
mod hub_home;
mod hub_http;
mod info;
mod info_table;
mod input;
mod model;
mod output;
mod page_directory;
mod plan;
mod plan_table;
mod plan_values;
mod progress;
mod quantize;
mod read;
mod render;
mod report;
mod request_memory;
mod serve;
mod serve_args;
mod serve_limits;
mod serve_logs;
mod style;
mod text_input;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::error::CliError;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { glyph_device::set_runtime_directory() };
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(message) => return show(&message),
    };
    // A server that is interrupted finishes what runs.
    if !matches!(cli.command, Command::Serve(_)) {
        progress::clear_on_interrupt();
    }
    end(match &cli.command {
        Command::Ask(args) => ask::run(args),
        Command::Read(args) => read::run(args),
        Command::Render(args) => render::run(args),
        Command::Info(args) => info::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Completions { shell } => completions(*shell),
    })
}

/// Says what went wrong, if anything did.
fn end(outcome: Result<(), CliError>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    progress::clear();
    if !error.is_silent() {
        output::note(&format!("error: {error}"));
    }
    ExitCode::from(error.exit_code())
}

/// What the parser has to say instead of a command: help and version on standard output, mistakes
/// on standard error.
fn show(message: &clap::Error) -> ExitCode {
    let printed = message.print().and_then(|()| io::stdout().flush());
    if message.use_stderr() {
        return ExitCode::from(error::USAGE);
    }
    end(printed.map_err(output::failed))
}

/// Prints a completion script. It is collected first: the generator panics when a pipe closes.
fn completions(shell: clap_complete::Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "glyph", &mut script);
    output::bytes(&script)
}
