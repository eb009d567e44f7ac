//! Why a model cannot be fetched from a hub.

use std::io;
use std::path::{Path, PathBuf};

/// What happened, with the value, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name is not that of a repository.
    #[error("{0:?} is not a repository; give OWNER/NAME, such as zai-org/Glyph")]
    Name(String),
    /// The revision cannot be one, and it becomes the name of a file.
    #[error("{0:?} is not a revision; give a branch, a tag or a commit to --revision")]
    Revision(String),
    /// The endpoint is no address.
    #[error(
        "{0:?} is not the address of a hub; give a URL with https:// or http:// to --endpoint or HF_ENDPOINT"
    )]
    Endpoint(String),
    /// The token cannot be sent. It is a secret, so it is not shown.
    #[error(
        "the token holds a line break or another character that no token has; set HF_TOKEN or --token anew"
    )]
    Token,
    /// There is no home directory, and no variable says where else the cache is.
    #[error("there is no place for the model: set HF_HOME to a directory, or HOME")]
    NoCache,
    /// The operating system gives no means to wait for the network.
    #[error("nothing can be fetched: {0}. Close other programs and try again")]
    Runtime(io::Error),
    /// The hub does not know the repository, the revision or the file.
    #[error("{url} was not found. Check the name and the --revision")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// The hub wants to know who asks.
    #[error(
        "{url} was refused ({status}). The model may be private or want its terms accepted on its page; \
         set HF_TOKEN to a token that may read it"
    )]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer.
        status: u16,
    },
    /// The connection failed, and failed again.
    #[error(
        "{url} cannot be fetched: {cause}. Check the network, or choose a mirror with --endpoint; run the \
         same command again and it goes on where it stopped"
    )]
    Connection {
        /// What was asked for.
        url: String,
        /// What failed.
        cause: String,
        /// Whether it may work when asked again.
        may_pass: bool,
    },
    /// Something answers that is no hub, or a broken one.
    #[error("{url} does not answer as a hub does: {what}. Check the --endpoint")]
    NotAHub {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The hub has a file of another commit than the one that was asked for.
    #[error(
        "{url} answers with the commit {got:?} instead. Run the same command again; if that does not \
         help, do not trust this --endpoint"
    )]
    OtherCommit {
        /// What was asked for.
        url: String,
        /// What the hub says it is of.
        got: String,
    },
    /// Nothing would tell whether the file arrives whole.
    #[error(
        "{url} has the tag {tag:?}, which is no checksum, so that nothing would tell whether it arrives \
         whole. Choose another --endpoint"
    )]
    NoChecksum {
        /// What was asked for.
        url: String,
        /// What the hub gives in its place.
        tag: String,
    },
    /// Another process is fetching the same file.
    #[error("another process is fetching the same file: {} is locked. Wait for it", .0.display())]
    Locked(PathBuf),
    /// The cache has the ref of another revision where this one's would lie.
    #[error(
        "the cache cannot take the revision {revision:?}: {} is in the way. Remove it if the hub has no such branch \
         or tag any more, or give the commit {commit} to --revision", .path.display()
    )]
    RefInTheWay {
        /// As it was asked for.
        revision: String,
        /// The other ref, or a directory with others.
        path: PathBuf,
        /// What the revision stands for.
        commit: String,
    },
    /// The repository holds something else.
    #[error("it has no {missing}, so it holds no checkpoint that can be loaded")]
    NoCheckpoint {
        /// What is not in it.
        missing: &'static str,
    },
    /// The bytes that arrived are not those of the repository.
    #[error(
        "{file} arrived damaged: its checksum is {got} and should be {expected}. It was removed; fetch it again"
    )]
    Checksum {
        /// The file.
        file: String,
        /// The hub's checksum.
        expected: String,
        /// That of the file.
        got: String,
    },
    /// The disk failed.
    #[error("cannot write to the cache {}: {source}. Check the free space and the permissions", .path.display())]
    Disk {
        /// The cache, or a file in it.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl HubError {
    /// The error of a file in the cache.
    pub fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk {
            path: path.to_owned(),
            source,
        }
    }
}
