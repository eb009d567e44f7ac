//! Every way in which loading or running the model can fail, each naming the thing that is wrong.

use std::path::PathBuf;

use crate::quantize::PackError;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, ModelError>;

/// What went wrong, with the value and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file of the checkpoint could not be read.
    #[error(
        "cannot read {path}: {source}. Check that the model directory is complete and readable"
    )]
    Io {
        /// File that was asked for.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file of the checkpoint that must be there is not.
    #[error(
        "{file} is missing from the checkpoint. Download it again or copy the file from the original"
    )]
    MissingFile {
        /// File name within the checkpoint.
        file: String,
    },
    /// A JSON file of the checkpoint does not parse.
    #[error("{file} is not valid: {reason}. Restore the file from the original checkpoint")]
    Json {
        /// File name within the checkpoint.
        file: String,
        /// The parser's message, with line and column.
        reason: String,
    },
    /// The configuration parses but describes a model that cannot exist.
    #[error("{file}: {key} is {value}: {reason}")]
    Config {
        /// File name within the checkpoint.
        file: String,
        /// Key of the configuration, dotted.
        key: String,
        /// The value that was found.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A weights file is cut short, is not safetensors, or has a broken header.
    #[error("{file} is not a usable safetensors file: {reason}. Restore it, or download it again")]
    Safetensors {
        /// File name within the checkpoint.
        file: String,
        /// The parser's message.
        reason: String,
    },
    /// A tensor could not be read from its file, which had been opened.
    #[error(
        "cannot read {tensor} from {file}: {source}. The file has been shortened or damaged since the model was opened: \
         restore it, then start again"
    )]
    Tensor {
        /// File name within the checkpoint.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Shards named by the index are not in the checkpoint.
    #[error(
        "{index} names what is missing: {}, with {} tensors. Download what is missing",
        .shards.join(", "), .tensors.len()
    )]
    MissingShards {
        /// File names of the shards.
        shards: Vec<String>,
        /// Names of the tensors that they hold.
        tensors: Vec<String>,
        /// File name of the index.
        index: String,
    },
    /// What the model computes is not a number any more.
    #[error(
        "the model's scores hold no finite number: its weights are damaged, or what it computes is too large for the \
         number type that it runs in, or that its keys and values are kept in. Download the checkpoint again, or run it \
         with --dtype f32 --kv-cache full"
    )]
    NotFinite,
    /// A weight is larger than the largest number of the type that the model is to run in.
    #[error(
        "{tensor} holds {value}, and the largest number of f16 is {largest}: the checkpoint cannot run as f16. Run it \
         with --dtype f32, or on a device with bf16"
    )]
    Overflow {
        /// Name of the tensor.
        tensor: String,
        /// The value.
        value: f32,
        /// What the type reaches.
        largest: f32,
    },
    /// There is no memory for the keys and values of a sequence.
    #[error(
        "there is no memory for the keys and values of {n_tokens} tokens, {} MiB. Ask for fewer tokens, or free memory",
        .bytes >> 20
    )]
    NoMemory {
        /// Tokens of prompt and answer.
        n_tokens: usize,
        /// What they take.
        bytes: usize,
    },
    /// A weight cannot be quantised, or one that is quantised is damaged.
    #[error("{tensor}: {source}")]
    Pack {
        /// Name of the tensor.
        tensor: String,
        /// Why, and what to do.
        source: PackError,
    },
    /// Some matrices are quantised and others are not, or are otherwise.
    #[error(
        "the weights are quantised in no way that is read: {}. They must all be q8 or all q4: quantise the original \
         again, or take it as it is",
        .kinds.join(", ")
    )]
    MixedQuantization {
        /// One tensor of each kind, and how it is kept.
        kinds: Vec<String>,
    },
    /// Tensors are missing or have the wrong shape or dtype.
    #[error("the weights do not fit config.json: {}", listed(.problems))]
    Weights {
        /// One line per tensor: what was expected and what was found.
        problems: Vec<String>,
    },
    /// The tokenizer file cannot be used.
    #[error(
        "tokenizer.json cannot be used: {reason}. Take the file anew from the original checkpoint"
    )]
    Tokenizer {
        /// The tokenizer library's message.
        reason: String,
    },
    /// The chat template cannot be used.
    #[error(
        "the chat template cannot be rendered: {reason}. If the template is not the one of the original checkpoint, take that"
    )]
    Template {
        /// The template engine's message.
        reason: String,
    },
    /// An image cannot be decoded or has a size the model does not take.
    #[error("image {index}: {reason}")]
    Image {
        /// Position of the image in the request, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The prompt has another number of image tokens than the images give features.
    #[error(
        "the prompt holds {placeholder_tokens} image tokens in {placeholders} runs, but {images} images give \
         {image_tokens}. Send one image part per image, and no <|image|> in the text"
    )]
    ImageTokenMismatch {
        /// Runs of image tokens in the prompt.
        placeholders: usize,
        /// Image tokens in the prompt.
        placeholder_tokens: usize,
        /// Images of the request.
        images: usize,
        /// Tokens that the images give.
        image_tokens: usize,
    },
    /// A token id that the embedding table has no row for.
    #[error(
        "token {id} is outside the model's vocabulary of {vocab_size}. Use the tokenizer.json that belongs to this \
         checkpoint"
    )]
    UnknownToken {
        /// The id.
        id: u32,
        /// Rows of the embedding table.
        vocab_size: usize,
    },
    /// Prompt and answer do not fit the context.
    #[error(
        "{prompt_tokens} prompt tokens and {max_new_tokens} new tokens exceed the context of {context_tokens} tokens. \
         Send fewer pages, a lower DPI, or a smaller max_tokens"
    )]
    ContextOverflow {
        /// Tokens of the prompt, text and image.
        prompt_tokens: usize,
        /// Tokens asked for.
        max_new_tokens: usize,
        /// Tokens that the model or the cache can hold.
        context_tokens: usize,
    },
    /// A request parameter is out of its range.
    #[error("{name} is {value}: {reason}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// Its range.
        reason: &'static str,
    },
    /// The device could not be opened.
    #[error("device {device} cannot be used: {reason}")]
    Device {
        /// The device that was asked for.
        device: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// A file of a checkpoint could not be written.
    #[error(
        "cannot write {path}: {reason}. Check the directory, its permissions and the free space"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        reason: String,
    },
    /// Reading a result from the device failed.
    #[error("reading from the device failed: {reason}")]
    Read {
        /// The backend's message.
        reason: String,
    },
}

/// The first of many problems, and how many more there are.
fn listed(problems: &[String]) -> String {
    const SHOWN: usize = 8;
    let (shown, rest) = problems.split_at(problems.len().min(SHOWN));
    let shown = shown.join("; ");
    match rest.len() {
        0 => shown,
        n => format!("{shown}; and {n} more"),
    }
}
