//! `cargo xtask`: one command to try the project, one to check it.
//!
//! This package has no dependencies, so that it is there in a second.

mod ask;
mod browser;
mod clients;
mod command;
mod counts;
mod cuda;
mod install;
mod node;
mod test;
mod tests_run;
mod web;
mod web_files;
mod wgpu;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Commands:
  serve [ARGS]      build page and glyph, and run `glyph serve ARGS`
  ask [ARGS]        build glyph and run `glyph ask ARGS`
  glyph ARGS        build glyph and run it
  test [--skip STEP]…
                    every check, or all but some: fmt, clippy, tests, wgpu,
                    clients, doc, wasm, browser; --browser-by MINUTES leaves
                    the last out where it would begin later
  fmt               format all code
  clippy, tests, wgpu, clients, doc, wasm-check, browser
                    one step of `test`
  cuda-check        compile and link glyph with CUDA, and run the model's tests
                    with its fused kernels on Vulkan; no GPU is needed
  web               build the page into dist/
  web-sizes         sizes of its files
  help              this text

Everything that a command needs and that rustup, pip, npm or apt can install is installed.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        [] | ["help" | "--help" | "-h", ..] => {
            println!("{HELP}");
            Ok(())
        }
        ["serve", rest @ ..] => ask::serve(rest),
        ["ask", rest @ ..] => ask::glyph(&[&["ask"], rest].concat()),
        ["glyph", rest @ ..] => ask::glyph(rest),
        ["test", rest @ ..] => test::all(rest),
        ["fmt"] => test::format(),
        ["wasm-check"] => test::one("wasm"),
        ["cuda-check"] => cuda::check(),
        ["web"] => web::tools()
            .and_then(|tools| web::build(&tools))
            .map(|dist| println!("{} is built", dist.display())),
        ["web-assets"] => web_files::assets(),
        ["web-sizes"] => web_files::sizes(),
        [step @ ("clippy" | "tests" | "wgpu" | "clients" | "doc" | "browser")] => test::one(step),
        [other, ..] => Err(format!(
            "there is no command {other:?}. cargo xtask help lists them"
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
