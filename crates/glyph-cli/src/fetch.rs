//! `glyph fetch`: a model from a hub into the cache that the hub's tools share.

use std::future::ready;
use std::path::{Path, PathBuf};

use hf_hub::api::tokio::Progress;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::args::FetchArgs;
use crate::error::CliError;
use crate::hub::{Hub, HubError};
use crate::{output, progress};

/// The object that `glyph fetch --json` prints.
#[derive(Debug, Serialize)]
struct FetchOutput {
    /// Directory to give as `--model`.
    directory: PathBuf,
    repository: String,
    commit: String,
    files: Vec<FetchedFile>,
}

/// One file of the checkpoint.
#[derive(Debug, Serialize)]
struct FetchedFile {
    file: String,
    bytes: u64,
}

/// Runs the command.
pub fn run(args: &FetchArgs) -> Result<(), CliError> {
    let error = |source| CliError::Fetch {
        repository: args.repository.clone(),
        source,
    };
    // On one thread, parts of a file come in their order, so that what was interrupted has no gaps.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| error(HubError::Runtime(source)))?;
    let fetched = runtime.block_on(fetch(args)).map_err(error)?;
    progress::clear();
    if args.json {
        output::json(&fetched)
    } else {
        output::line(&fetched.directory.display().to_string())
    }
}

async fn fetch(args: &FetchArgs) -> Result<FetchOutput, HubError> {
    progress::spinner(format!("asking for {}", args.repository));
    let endpoint = args.endpoint.as_deref();
    let hub = Hub::open(
        &args.repository,
        &args.revision,
        endpoint,
        args.token.clone(),
    )
    .await?;
    let mut files = Vec::with_capacity(hub.files.len());
    let mut directory = PathBuf::new();
    for file in &hub.files {
        let bar = progress::bytes_bar(0, file.clone());
        let path = hub.fetch(file, Bar(bar)).await?;
        let metadata = path.metadata().map_err(|source| HubError::Disk {
            path: path.clone(),
            source,
        })?;
        directory = path.parent().unwrap_or(Path::new("")).to_owned();
        files.push(FetchedFile {
            file: file.clone(),
            bytes: metadata.len(),
        });
    }
    hub.finish()?;
    Ok(FetchOutput {
        directory,
        repository: args.repository.clone(),
        commit: hub.commit,
        files,
    })
}

/// Shows how much of a file is there.
#[derive(Clone)]
struct Bar(ProgressBar);

impl Progress for Bar {
    fn init(&mut self, n_bytes: usize, _: &str) -> impl Future<Output = ()> + Send {
        self.0.set_length(n_bytes as u64);
        self.0.set_position(0);
        ready(())
    }

    fn update(&mut self, n_bytes: usize) -> impl Future<Output = ()> + Send {
        self.0.inc(n_bytes as u64);
        ready(())
    }

    fn finish(&mut self) -> impl Future<Output = ()> + Send {
        self.0.set_message(format!("checking {}", self.0.message()));
        ready(())
    }
}
