//! `glyph fetch`: a model from a hub into the cache that the hub's tools share.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::args::FetchArgs;
use crate::error::CliError;
use crate::hub::Hub;
use crate::hub_error::HubError;
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
    // One thread is enough: files come one after the other.
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
        args.token.as_deref(),
    )
    .await?;
    let mut files = Vec::with_capacity(hub.files.len());
    let mut directory = PathBuf::new();
    for file in &hub.files {
        let bar = progress::bytes_bar(0, file.clone());
        let path = hub.fetch(file, &bar).await?;
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
