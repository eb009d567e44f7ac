//! The command line of `glyph bench`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use glyph_device::{DeviceChoice, DtypeChoice};
use glyph_engine::PREFILL_CHUNK;
use glyph_model::quantize::Quantization;
use glyph_model::text::KvPrecision;

use crate::args::at_least_1;
use crate::plan_values::{self, PageSize};

const MODEL_HELP: &str = "\
Examples:
  glyph bench model --shape 300m --prompt-tokens 512
  glyph bench model --model ~/models/Glyph --device cuda --dtype bf16
  glyph bench model --shape 9b --device cuda --quantize q4
  glyph bench model --shape 9b --device cuda --dtype bf16 --python python3 --json

Each figure is the median of --repeat runs behind two that are not counted: the first use of a kernel compiles
it, or finds it compiled. The ceilings are what the device itself reached here at its best: copying far more
than its caches hold, and multiplying large square matrices.";

/// `glyph bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure what a model takes on a device: time, memory, and its share of what the device can do.
    #[command(next_line_help = true, after_help = MODEL_HELP)]
    Model(BenchModelArgs),
}

/// Architectures that are measured with random weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// GLM-4.1V-9B and Glyph as published
    #[value(name = "9b")]
    Official9b,
    /// The same family, for a processor or a small GPU
    #[value(name = "300m")]
    Small300m,
    /// glyph-mini
    Mini,
}

/// `glyph bench model`.
#[derive(Debug, Args)]
pub struct BenchModelArgs {
    /// Model directory [default: the built-in glyph-mini]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub model: Option<PathBuf>,
    /// Random weights of this shape, made on the device, in place of a model's
    #[arg(long, value_name = "SHAPE", conflicts_with = "model")]
    pub shape: Option<Shape>,
    /// Where the model runs, as glyph devices lists it: cpu, cuda, cuda:N, wgpu, wgpu:N,
    /// or auto for the best there is
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    #[arg(env = "GLYPH_DEVICE", hide_env_values = true)]
    pub device: DeviceChoice,
    /// Type of weights, activations, keys and values: f32, f16, bf16, or auto for what suits
    /// device and checkpoint
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    #[arg(env = "GLYPH_DTYPE", hide_env_values = true)]
    pub dtype: DtypeChoice,
    /// Quantise the decoder's weights: q8 or q4 [default: as the model's files are]
    #[arg(long, value_name = "BITS")]
    pub quantize: Option<Quantization>,
    /// Keys and values: f16 (on a CPU), q8, or full, as other engines are compared with
    #[arg(long, value_name = "BITS", default_value = "full")]
    pub kv_cache: KvPrecision,
    /// Memory of the device that is left free beside all that is measured [default: a quarter of
    /// what is free, at most 4GiB]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "SIZE", value_parser = plan_values::size)]
    #[arg(allow_hyphen_values = true)]
    pub memory_headroom: Option<ByteSize>,
    /// Tokens of the prompt, which are the context of the answer
    #[arg(long, value_name = "N", default_value = "2048", value_parser = at_least_1)]
    #[arg(allow_negative_numbers = true)]
    pub prompt_tokens: usize,
    /// Tokens of the answer
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_least_1)]
    #[arg(allow_negative_numbers = true)]
    pub new_tokens: usize,
    /// Positions of the prompt that pass the decoder at once; the server takes this many
    #[arg(long, value_name = "N", default_value_t = PREFILL_CHUNK, value_parser = at_least_1)]
    #[arg(allow_negative_numbers = true)]
    pub prefill_chunk: usize,
    /// Size of a page in px
    #[arg(
        long,
        value_name = "WxH",
        default_value = "595x842",
        allow_hyphen_values = true
    )]
    pub page: PageSize,
    /// Runs that are counted
    #[arg(long, value_name = "N", default_value = "3", value_parser = at_least_1)]
    #[arg(allow_negative_numbers = true)]
    pub repeat: usize,
    /// Measure transformers too, first, on the same device with this Python, which has torch and transformers
    #[arg(long, value_name = "PYTHON", value_hint = ValueHint::ExecutablePath)]
    pub python: Option<PathBuf>,
    /// Print one JSON object, times in seconds, sizes in bytes
    #[arg(long)]
    pub json: bool,
}
