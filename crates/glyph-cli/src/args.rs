//! The command line.

use std::env;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use glyph_device::{DeviceChoice, DtypeChoice};
use glyph_model::quantize::Quantization;
use glyph_model::text::KvPrecision;

use crate::bench_args::BenchArgs;
use crate::plan_values::{self, DeviceKind, PageSize, ValueType, WeightsAs};
use crate::serve_args::ServeArgs;

/// Reads long text as page images with a vision-language model.
///
/// The text is rendered to pages; the model sees the pages instead of the text and answers
/// questions about them. Without --model the built-in glyph-mini answers.
#[derive(Debug, Parser)]
#[command(name = "glyph", version, verbatim_doc_comment, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = concat!(
    "Examples:
  glyph ask --text report.txt \"What is the total?\"
  cat report.txt | glyph ask --text - --json \"What is the total?\"
  glyph read --text report.txt
  glyph ask --model ~/models/Glyph --image scan1.png --image scan2.png \"Who signed?\"
  glyph render --text report.txt --out pages
  glyph info --model ~/models/Glyph
  glyph plan --model ~/models/Glyph --device-memory 24GiB --dtype bf16
  glyph devices
  glyph bench model
  glyph fetch zai-org/Glyph
  glyph quantize ~/models/Glyph ~/models/Glyph-q4
  glyph serve --port 8080
  glyph completions bash > ~/.local/share/bash-completion/completions/glyph

",
    crate::error::exit_codes!()
);

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a question about a text or images.
    #[command(next_line_help = true, after_help = ASK_HELP)]
    Ask(AskArgs),
    /// Transcribe a text's pages or images, page by page.
    #[command(next_line_help = true, after_help = READ_HELP)]
    Read(ReadArgs),
    /// Write a text's pages as PNG files.
    #[command(next_line_help = true, after_help = RENDER_HELP)]
    Render(RenderArgs),
    /// Show what a model is made of and whether it can run.
    #[command(next_line_help = true, after_help = INFO_HELP)]
    Info(InfoArgs),
    /// Show how much memory a model needs on a device, from its configuration alone.
    #[command(next_line_help = true, after_help = PLAN_HELP)]
    Plan(PlanArgs),
    /// List what a model can run on, and what is in the way of the rest.
    #[command(next_line_help = true, after_help = DEVICES_HELP)]
    Devices(DevicesArgs),
    /// Measure a model on a device.
    #[command(next_line_help = true, after_help = BENCH_HELP)]
    Bench(BenchArgs),
    /// Get a model from a hub; prints the directory to give as --model.
    #[command(next_line_help = true, after_help = FETCH_HELP)]
    Fetch(FetchArgs),
    /// Save a model with weights of 8 or 4 bits.
    #[command(next_line_help = true, after_help = QUANTIZE_HELP)]
    Quantize(QuantizeArgs),
    /// Serve a model over HTTP, with the API of OpenAI.
    #[command(next_line_help = true, after_help = SERVE_HELP)]
    Serve(Box<ServeArgs>),
    /// Print a completion script for a shell.
    #[command(next_line_help = true, after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

const ASK_HELP: &str = "\
Examples:
  glyph ask --text report.txt \"What is the total?\"
  cat report.txt | glyph ask --text - --json \"What is the total?\"
  glyph ask --model ~/models/Glyph --image scan.png --max-tokens 64 \"Who signed?\"
  glyph ask --model ~/models/Glyph --text novel.txt --save-pages pages \"Who is the narrator?\"

The prompt holds the images in the order given, then the pages of the text, then the question.";

const READ_HELP: &str = "\
Examples:
  glyph read --text report.txt
  glyph read --text report.txt --json
  glyph read --model ~/models/Glyph --image page.png --prompt \"Transcribe the page.\"

Each page is a prompt of its own, so a document may be longer than the model's context.";

const RENDER_HELP: &str = "\
Examples:
  glyph render --text report.txt --out pages
  glyph render --text report.txt --out pages --style official
  glyph render --text report.txt --out pages --style my_style.json --json";

const INFO_HELP: &str = "\
Examples:
  glyph info
  glyph info --model ~/models/Glyph
  glyph info --model ~/models/Glyph --json

Exits with 4 when the checkpoint cannot run, after listing what is wrong with it.";

const PLAN_HELP: &str = "\
Examples:
  glyph plan --device-memory 2GiB --memory-headroom 1GiB
  glyph plan --model ~/models/Glyph --device-memory 24GiB --dtype bf16 --quantize full,q8,q4
  glyph plan --model ~/models/Glyph --device-memory 80GiB --page 595x842 --batch 1,16,64 --json

The directory needs no more than config.json. Sizes have their unit: GiB and MiB count in 1024s,
GB and MB in 1000s. What the server keeps for its caches comes out of what is left.";

const DEVICES_HELP: &str = "\
Examples:
  glyph devices
  glyph devices --json
  glyph ask --device wgpu:0 --text report.txt \"What is the total?\"

In the order in which --device auto tries them, which leaves out adapters of software.";

const BENCH_HELP: &str = "\
Examples:
  glyph bench model
  glyph bench model --shape 9b --device cuda --dtype bf16";

const FETCH_HELP: &str = "\
Examples:
  glyph fetch zai-org/Glyph
  glyph ask --model \"$(glyph fetch zai-org/Glyph)\" --text novel.txt \"Who is the narrator?\"
  glyph fetch zai-org/GLM-4.1V-9B-Thinking --revision main --endpoint https://mirror.example --json

Files go where the hub's other tools look for them: $HF_HUB_CACHE, $HF_HOME/hub,
$XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub. What is there already is checked and
not fetched again, unless it is damaged; what was interrupted goes on.";

const QUANTIZE_HELP: &str = "\
Examples:
  glyph quantize ~/models/Glyph ~/models/Glyph-q4
  glyph quantize ~/models/Glyph ~/models/Glyph-q8 --quantize q8

What is written needs neither the original nor a flag. Linear layers of the decoder and the output
head are quantised; embedding, norms and vision tower stay as they are.";

const SERVE_HELP: &str = "\
Examples:
  glyph serve
  glyph serve --model ~/models/Glyph --port 8000 --api-key-file keys.txt
  glyph serve --config serve.toml --log-format json --log-file /var/log/glyph

A flag wins over its environment variable, and that over the file. SIGTERM and Ctrl-C finish what
runs, for --drain-timeout seconds; a second one ends at once.";

const COMPLETIONS_HELP: &str = "\
Examples:
  glyph completions bash > ~/.local/share/bash-completion/completions/glyph
  glyph completions zsh > ~/.zfunc/_glyph
  glyph completions fish > ~/.config/fish/completions/glyph.fish";

/// Reads the command line.
pub fn parse() -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The command line of [`Cli`], where an environment variable that is empty counts as unset.
fn command() -> clap::Command {
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    let without_empty = |arg: Arg| {
        if is_empty(&arg) {
            arg.env(None::<&'static str>)
        } else {
            arg
        }
    };
    Cli::command().mut_subcommands(|command| command.mut_args(without_empty))
}

/// A count of tokens or requests.
pub fn at_least_1(value: &str) -> Result<usize, &'static str> {
    match value.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number, at least 1"),
        Ok(n) => Ok(n),
    }
}

fn seed(value: &str) -> Result<u64, &'static str> {
    let range = "it must be a whole number from 0 to 18446744073709551615";
    value.parse().map_err(|_| range)
}

/// Which model runs, and where.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model directory as published: config.json, tokenizer.json, model.safetensors…
    /// [default: the built-in glyph-mini]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "DIR", env = "GLYPH_MODEL", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub model: Option<PathBuf>,
    /// Where the model runs, as glyph devices lists it: cpu, cuda, cuda:N, wgpu, wgpu:N,
    /// or auto for the best there is
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    #[arg(env = "GLYPH_DEVICE", hide_env_values = true)]
    pub device: DeviceChoice,
    /// Type of weights and activations: f32, f16, bf16, or auto for what suits device and
    /// checkpoint
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    #[arg(env = "GLYPH_DTYPE", hide_env_values = true)]
    pub dtype: DtypeChoice,
    /// Make the decoder's weights smaller while they are loaded: q8 or q4, which is about 8 or 4
    /// bits a weight; a model that glyph quantize wrote needs no flag
    #[arg(
        long,
        value_name = "BITS",
        env = "GLYPH_QUANTIZE",
        hide_env_values = true
    )]
    pub quantize: Option<Quantization>,
    /// Keep keys and values in fewer bits: f16, q8, or full. On a CPU f16 is half of the memory, and elsewhere what
    /// full is; q8 saves more with long prompts, and costs time on a GPU
    #[arg(
        long,
        value_name = "BITS",
        default_value = KvPrecision::FOR_ANSWERS.name(),
        env = "GLYPH_KV_CACHE"
    )]
    #[arg(hide_env_values = true)]
    pub kv_cache: KvPrecision,
    /// Memory of the device that is left free beside model and request [default: a quarter of
    /// what is free, at most 4GiB]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "SIZE", value_parser = plan_values::size)]
    #[arg(allow_hyphen_values = true)]
    pub memory_headroom: Option<ByteSize>,
}

/// What the model looks at.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Text to render to pages, UTF-8; - reads standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub text: Option<PathBuf>,
    /// Page or picture (PNG, JPEG, WebP); may be given several times
    #[arg(long = "image", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub images: Vec<PathBuf>,
    /// How the text is rendered: a file with the official keys, or "official" for the
    /// official English or Chinese style [default: the model's render.json, else official]
    #[arg(verbatim_doc_comment)]
    #[arg(requires = "text")]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub style: Option<PathBuf>,
}

/// How the answer is generated; what is not given comes from the model's generation_config.json.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling (default: the model's generation_config.json)")]
pub struct SamplingArgs {
    /// Randomness; 0 always takes the most likely token
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Keep the fewest tokens whose probability reaches this; 1 keeps all
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Keep this many of the most likely tokens; 0 or -1 keeps all
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<i64>,
    /// Make tokens of prompt and answer less likely; 1 does nothing
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub repetition_penalty: Option<f32>,
    /// Seed of the draw, for the same answer again
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<u64>,
    /// Text that ends what the model says, in its thought too, and is no part of it; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub stop: Vec<String>,
}

/// `glyph ask`.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// The question
    pub question: String,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Also write the text's pages there, as page_0001.png, page_0002.png…; pages
    /// with higher numbers that glyph wrote for an earlier text are removed
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "text")]
    pub save_pages: Option<PathBuf>,
    /// Longest answer in tokens [default: 1024, or what the context has left]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_1)]
    pub max_tokens: Option<usize>,
    /// Print one JSON object with the answer, token counts and times
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `glyph read`.
#[derive(Debug, Args)]
pub struct ReadArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub source: SourceArgs,
    /// What the model is told with each page
    #[arg(long, value_name = "TEXT", default_value = "Read the page.")]
    pub prompt: String,
    /// Longest transcript of a page in tokens [default: 16 for each vision token and 1024 more, at
    /// most 8192 or what the context has left]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_1)]
    pub max_tokens: Option<usize>,
    /// Print one JSON object with the text of every page, token counts and times
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `glyph render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Text to render, UTF-8; - reads standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub text: PathBuf,
    /// Directory for page_0001.png, page_0002.png…; made if it is not there; pages with
    /// higher numbers that glyph wrote for an earlier text are removed
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// How the text is rendered: a file with the official keys, or "official" for the
    /// official English or Chinese style [default: the model's render.json, else official]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub style: Option<PathBuf>,
    /// Model directory whose style and token counts are used [default: the built-in glyph-mini]
    #[arg(long, value_name = "DIR", env = "GLYPH_MODEL", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub model: Option<PathBuf>,
    /// Print one JSON object with every page's file and size
    #[arg(long)]
    pub json: bool,
}

/// `glyph info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Model directory [default: the built-in glyph-mini]
    #[arg(long, value_name = "DIR", env = "GLYPH_MODEL", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub model: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `glyph plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Model directory, of which config.json is enough [default: the built-in glyph-mini]
    #[arg(long, value_name = "DIR", env = "GLYPH_MODEL", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub model: Option<PathBuf>,
    /// Memory of the device that is free for the model, such as 24GiB
    #[arg(long, value_name = "SIZE", value_parser = plan_values::size_above_0)]
    #[arg(allow_hyphen_values = true)]
    pub device_memory: ByteSize,
    /// Kind of the device
    #[arg(long, value_name = "KIND", default_value = "gpu")]
    pub device: DeviceKind,
    /// Memory of the device that is left free, as glyph serve leaves it
    /// [default: 4GiB on a GPU; on a CPU a quarter, at most 4GiB]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "SIZE", value_parser = plan_values::size)]
    #[arg(allow_hyphen_values = true)]
    pub memory_headroom: Option<ByteSize>,
    /// Type of weights, activations, keys and values
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub dtype: ValueType,
    /// The decoder's weights, one plan for each: full, q8, q4 [default: as the model's files are]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "BITS,…", value_delimiter = ',')]
    pub quantize: Vec<WeightsAs>,
    /// Keys and values: f16 (on a CPU), q8, or full
    #[arg(long, value_name = "BITS", default_value = KvPrecision::FOR_ANSWERS.name())]
    pub kv_cache: KvPrecision,
    /// Sizes of pages in px
    #[arg(
        long,
        value_name = "WxH,…",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    #[arg(default_value = "512x512,1024x1024,2048x2048")]
    pub page: Vec<PageSize>,
    /// Requests that run together
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    #[arg(value_parser = at_least_1, default_value = "1,2,4")]
    pub batch: Vec<usize>,
    /// Tokens of each request, prompt and answer [default: 8192, 32768, 65536 and 131072, as
    /// far as the model's context reaches, and that context]
    #[arg(verbatim_doc_comment)]
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    #[arg(value_parser = at_least_1)]
    pub context: Vec<usize>,
    /// Print one JSON object, every figure in bytes
    #[arg(long)]
    pub json: bool,
}

/// `glyph devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `glyph fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Repository of the hub, such as zai-org/Glyph
    #[arg(value_name = "OWNER/NAME")]
    pub repository: String,
    /// Branch, tag or commit
    #[arg(long, value_name = "REVISION", default_value = "main")]
    pub revision: String,
    /// Another hub than Hugging Face's, such as a mirror
    #[arg(long, value_name = "URL", env = "HF_ENDPOINT", hide_env_values = true)]
    #[arg(value_hint = ValueHint::Url)]
    pub endpoint: Option<String>,
    /// Token for repositories that are not open to all [default: that of `hf auth login`]
    #[arg(long, value_name = "TOKEN", env = "HF_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print one JSON object with the directory, the commit and the files
    #[arg(long)]
    pub json: bool,
}

/// `glyph quantize`.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// Model directory
    #[arg(value_name = "IN", value_hint = ValueHint::DirPath)]
    pub model: PathBuf,
    /// Directory to write, which must not be there or be empty
    #[arg(value_name = "OUT", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// About how many bits a weight takes: q8 or q4
    #[arg(long, value_name = "BITS", default_value = "q4")]
    pub quantize: Quantization,
    /// Print one JSON object with the files and their sizes
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
