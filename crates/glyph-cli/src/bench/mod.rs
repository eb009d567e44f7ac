//! `glyph bench`: what a model takes on a device, beside what the device can do.

mod ceilings;
mod memory;
mod peer;
mod products;
mod random;
mod report;
mod run;
mod steps;
mod subject;
mod table;
mod timing;
mod work;

use crate::bench_args::{BenchArgs, BenchCommand};
use crate::error::CliError;
use crate::output;

/// Runs the command.
pub fn run(args: &BenchArgs) -> Result<(), CliError> {
    let BenchCommand::Model(args) = &args.command;
    let comparison = run::compare(args)?;
    if args.json {
        output::json(&comparison)?;
    } else {
        output::text(&table::table(&comparison))?;
    }
    let problems = comparison.problems();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CliError::Bench { problems })
    }
}
