//! Everything that can end a command early, and the exit code that each kind has.

use std::io;
use std::path::PathBuf;

use glyph_device::DeviceError;
use glyph_model::ModelError;
use glyph_render::RenderError;

use crate::hub_error::HubError;
use crate::request_memory::RequestDoesNotFit;

/// The exit codes, as `--help` shows them.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0    done
  1    something else failed, such as writing the output
  2    the command line is wrong
  3    a text, an image or a style cannot be used
  4    the model cannot be used
  5    the prompt does not fit the model's context
  6    the device cannot be used
  130  interrupted (Ctrl-C)"
    };
}
pub(crate) use exit_codes;

const INTERNAL: u8 = 1;
/// Exit code of a command line that is wrong.
pub const USAGE: u8 = 2;
const INPUT: u8 = 3;
const MODEL: u8 = 4;
const CONTEXT: u8 = 5;
const DEVICE: u8 = 6;

/// Why a command ended early: what happened, with the value, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Arguments that are valid alone and make no sense together.
    #[error("{0}")]
    Usage(String),
    /// An option's value is out of its range.
    #[error("{option} is {value}: {reason}")]
    Parameter {
        /// The option as it is typed.
        option: String,
        /// The value that was given.
        value: String,
        /// Its range.
        reason: String,
    },
    /// A file named on the command line cannot be read.
    #[error("cannot read the {what} {name}: {source}. Check the path and its permissions")]
    InputFile {
        /// What the file is for.
        what: &'static str,
        /// Its path, or standard input.
        name: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file or stream is longer than anything that can be meant.
    #[error(
        "the {what} {name} is longer than {most_mib} MiB, the most that is read. Give a smaller \
         file, or a part of it"
    )]
    TooLong {
        /// What it is for.
        what: &'static str,
        /// Its path, or standard input.
        name: String,
        /// Most that is read.
        most_mib: u64,
    },
    /// A text is in another encoding.
    #[error("the text {name} is not UTF-8: byte {offset} is 0x{byte:02X}. {hint}")]
    NotUtf8 {
        /// Path of the text.
        name: String,
        /// Offset of the first wrong byte, from 0.
        offset: usize,
        /// The wrong byte.
        byte: u8,
        /// What to do.
        hint: &'static str,
    },
    /// A text without a visible character.
    #[error(
        "the text {name} is empty ({n_bytes} bytes, none of them visible). Give a text to read"
    )]
    EmptyText {
        /// Path of the text.
        name: String,
        /// Its length.
        n_bytes: usize,
    },
    /// An image cannot be decoded or has a size that the model does not take.
    #[error("the image {name} cannot be used: {reason}")]
    Image {
        /// Path of the image.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A render style cannot be used.
    #[error("the style {name} cannot be used: {source}")]
    Style {
        /// Path of the style.
        name: String,
        /// What is wrong with it.
        source: RenderError,
    },
    /// A question that the tokenizer would take for a picture.
    #[error(
        "{asked} holds {token}, which stands for a picture in the model's prompt. Remove it; \
         pictures are given with --image"
    )]
    ImageToken {
        /// The question, or the option that holds it.
        asked: &'static str,
        /// The model's image token.
        token: String,
    },
    /// The model cannot be opened or run.
    #[error("the model {name} cannot be used: {source}")]
    Model {
        /// Its directory.
        name: String,
        /// What is wrong with it.
        source: ModelError,
    },
    /// `--model` names something else than a directory.
    #[error(
        "the model {} is not a directory. --model takes a directory with config.json, \
         tokenizer.json and model.safetensors, which `glyph fetch OWNER/NAME` gets from a hub; without it \
         the built-in glyph-mini answers",
        .0.display()
    )]
    NoModelDirectory(PathBuf),
    /// The model's own style cannot be used.
    #[error("render.json of the model {name} cannot be used: {source}. Give another --style")]
    ModelStyle {
        /// The model's directory.
        name: String,
        /// What is wrong with it.
        source: RenderError,
    },
    /// The device that was asked for cannot be used.
    #[error("the device {choice} cannot be used: {source}")]
    Device {
        /// As it was asked for.
        choice: String,
        /// What is missing, and the remedy.
        source: Box<DeviceError>,
    },
    /// The device does not compute in the type that was asked for.
    #[error("--dtype (or GLYPH_DTYPE) is {choice}: {source}")]
    Dtype {
        /// As it was asked for.
        choice: String,
        /// What it has instead.
        source: Box<DeviceError>,
    },
    /// `glyph info` found something that keeps the model from running.
    #[error("the model {name} cannot run; {problems}")]
    Incomplete {
        /// The model's directory.
        name: String,
        /// How many problems there are, and where they are listed.
        problems: String,
    },
    /// `glyph bench` could not measure everything.
    #[error("not everything was measured:\n  {}", .problems.join("\n  "))]
    Bench {
        /// What was not, and why.
        problems: Vec<String>,
    },
    /// `glyph fetch` did not get the model.
    #[error("cannot fetch {repository}: {source}")]
    Fetch {
        /// The repository as it was asked for.
        repository: String,
        /// What went wrong.
        source: HubError,
    },
    /// Files of the model are missing or cannot be used.
    #[error("the model {name} cannot be used:\n  {}", .problems.join("\n  "))]
    Unusable {
        /// The model's directory.
        name: String,
        /// What is wrong, a file or a tensor each.
        problems: Vec<String>,
    },
    /// The server's port cannot be opened.
    #[error("{0}")]
    Port(String),
    /// The server cannot begin or go on.
    #[error("the server failed: {0}")]
    Serve(io::Error),
    /// Weights and request need more than the free memory.
    #[error("{0}")]
    Memory(Box<RequestDoesNotFit>),
    /// Prompt and answer are longer than the context.
    #[error(
        "the prompt does not fit the {context_tokens} tokens of {model}'s context: {about}{vision_tokens} \
         vision tokens for {pages}, {text_tokens} for question, template and the marks around pages, {answer_tokens} for the \
         answer. {advice}"
    )]
    DoesNotFit {
        /// Pages and images of the prompt, with the noun.
        pages: String,
        /// "about " where the later pages were not drawn, "more than " where they were not even counted.
        about: &'static str,
        /// Tokens of all pages.
        vision_tokens: usize,
        /// Tokens of question and template.
        text_tokens: usize,
        /// Tokens asked for.
        answer_tokens: usize,
        /// Tokens that the context holds.
        context_tokens: usize,
        /// The model's name.
        model: String,
        /// What to do.
        advice: String,
    },
    /// Prompt and answer are longer than the context, found when the answer was to begin.
    #[error(
        "{prompt_tokens} tokens of the prompt and {max_new_tokens} of --max-tokens exceed the \
         {context_tokens} tokens of the model's context. Give fewer pages, choose a --style with a \
         lower dpi, or ask for fewer --max-tokens"
    )]
    Overflow {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens asked for.
        max_new_tokens: usize,
        /// Tokens that the context holds.
        context_tokens: usize,
    },
    /// Generation failed half-way.
    #[error("{0}")]
    Run(ModelError),
    /// A file or directory cannot be written.
    #[error("cannot write {}: {source}. Check the directory, its permissions and the free space", .path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A page's file has the name of one that glyph did not write.
    #[error(
        "{} is there and was not written by glyph; it stays as it is. Give another directory, or move the file away",
        .0.display()
    )]
    NotOwnPage(PathBuf),
    /// A page could not be encoded.
    #[error("page {page} cannot be encoded as PNG: {reason}")]
    Encode {
        /// Number of the page, from 1.
        page: usize,
        /// The encoder's message.
        reason: String,
    },
    /// Standard output failed.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The reader of standard output has seen enough.
    #[error("standard output is closed")]
    OutputClosed,
}

impl CliError {
    /// The code that the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Write { .. }
            | Self::NotOwnPage(_)
            | Self::Encode { .. }
            | Self::Bench { .. }
            | Self::Port(_)
            | Self::Serve(_)
            | Self::Output(_) => INTERNAL,
            Self::Usage(_) | Self::Parameter { .. } => USAGE,
            Self::InputFile { .. }
            | Self::TooLong { .. }
            | Self::NotUtf8 { .. }
            | Self::EmptyText { .. }
            | Self::Image { .. }
            | Self::Style { .. }
            | Self::ImageToken { .. } => INPUT,
            Self::Model { .. }
            | Self::NoModelDirectory(_)
            | Self::ModelStyle { .. }
            | Self::Unusable { .. }
            | Self::Fetch { .. }
            | Self::Incomplete { .. }
            | Self::Memory(_)
            | Self::Run(_) => MODEL,
            Self::DoesNotFit { .. } | Self::Overflow { .. } => CONTEXT,
            Self::Device { .. } | Self::Dtype { .. } => DEVICE,
        }
    }

    /// Whether nothing is to be said about it.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::OutputClosed)
    }

    /// A failure while a request runs, in the words of the command line.
    pub fn from_run(error: ModelError) -> Self {
        match error {
            ModelError::Parameter {
                name,
                value,
                reason,
            } => Self::Parameter {
                option: format!("--{}", name.replace('_', "-")),
                value,
                reason: reason.to_owned(),
            },
            ModelError::ContextOverflow {
                prompt_tokens,
                max_new_tokens,
                context_tokens,
            } => Self::Overflow {
                prompt_tokens,
                max_new_tokens,
                context_tokens,
            },
            other => Self::Run(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use glyph_model::ModelError;

    use super::{CONTEXT, CliError, USAGE};

    #[test]
    fn errors_of_a_request_name_the_options() {
        let range = CliError::from_run(ModelError::Parameter {
            name: "repetition_penalty",
            value: "0".to_owned(),
            reason: "must be above 0",
        });
        let message = "--repetition-penalty is 0: must be above 0";
        assert_eq!(
            (range.to_string().as_str(), range.exit_code()),
            (message, USAGE)
        );
        let long = CliError::from_run(ModelError::ContextOverflow {
            prompt_tokens: 90,
            max_new_tokens: 20,
            context_tokens: 100,
        });
        assert_eq!(long.exit_code(), CONTEXT);
        let message = long.to_string();
        for part in ["90", "20 of --max-tokens", "100", "--style"] {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
        assert!(!message.contains("max_tokens"), "{message}");
    }
}
