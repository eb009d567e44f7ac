//! The measurements, one after the other. One that fails does not stop the next.

use std::time::Instant;

use burn::tensor::{DType, Device};
use glyph_device::{OpenDevice, StoredType, dtype_name, guarded};
use glyph_engine::Footprint;
use glyph_model::generate::encode_images;
use glyph_model::preprocess::{ImagePatches, PatchGrid, smart_resize};
use glyph_model::quantize::{Quantization, quantize_model};
use glyph_model::text::{KvCache, KvPrecision};
use glyph_model::weights::{LoadAs, load_model, table_dtype};
use glyph_model::{Glm4v, ModelError};

use super::memory::Watermark;
use super::random::{WeightBytes, random_model, touch};
use super::report::{Ceilings, Comparison, Decode, Load, Memory, Prefill, Report, Vision};
use super::steps::{Steps, read_one};
use super::subject::Subject;
use super::timing::{Seconds, measure, wait};
use super::{ceilings, peer, products, work};
use crate::bench_args::BenchModelArgs;
use crate::device::Target;
use crate::error::CliError;
use crate::request_memory::{RequestMemory, RequestSize};
use crate::{model, output};

/// Measures this runtime, and transformers before it where that is asked for: a process of its own, whose memory is
/// free again when it ends.
pub fn compare(args: &BenchModelArgs) -> Result<Comparison, CliError> {
    let subject = Subject::find(args)?;
    let grid = checked(args, &subject)?;
    let target = Target::open(args.device, args.dtype)?;
    let dtype = match &subject.weights {
        Some(weights) => target.dtype(weights)?,
        // As the large models are published.
        None => target.dtype_of(StoredType::Bf16)?,
    };
    let stored = subject.weights.as_ref();
    let quantization = args.quantize.or_else(|| stored?.quantization());
    let specs = model::specs(&subject.config);
    model::check_tensors(&target, (&specs, stored), quantization, dtype)?;
    memory(args, &subject, (&target, dtype), quantization).check(RequestSize {
        prompt_tokens: args.prompt_tokens,
        max_new_tokens: args.new_tokens,
        largest_page_patches: grid.n_patches(),
    })?;
    let mut problems = Vec::new();
    let transformers = args.python.as_deref().and_then(|python| {
        let measured = peer::measure(python, args, &subject, (&target.device, dtype), grid);
        let failed = |reason| problems.push(format!("transformers was not measured: {reason}"));
        measured.map_err(failed).ok()
    });
    let mut bench = Bench {
        args,
        subject: &subject,
        opened: &target.device,
        device: &target.device.device,
        dtype,
        quantization,
        watermark: Watermark::default(),
        problems,
    };
    let glyph = bench.report(device_name(&target.device), grid);
    Ok(Comparison::new(glyph, transformers))
}

/// Refuses what does not fit the model; returns the patches of a page.
fn checked(args: &BenchModelArgs, subject: &Subject) -> Result<PatchGrid, CliError> {
    let context = subject.config.text_config.max_position_embeddings;
    if args.prompt_tokens.saturating_add(args.new_tokens) > context {
        return Err(CliError::from_run(ModelError::ContextOverflow {
            prompt_tokens: args.prompt_tokens,
            max_new_tokens: args.new_tokens,
            context_tokens: context,
        }));
    }
    let page = args.page;
    let resized = smart_resize(page.height_px, page.width_px, &subject.preprocessor);
    let (height_px, width_px) = resized.map_err(|reason| CliError::Parameter {
        option: "--page".to_owned(),
        value: page.to_string(),
        reason: format!("the page {reason}"),
    })?;
    let side = subject.preprocessor.patch_size;
    Ok(PatchGrid {
        rows: height_px / side,
        columns: width_px / side,
    })
}

/// What page, prompt and answer are held against, as a question's are: a model that does not fit is not made.
fn memory(
    args: &BenchModelArgs,
    subject: &Subject,
    (target, dtype): (&Target, DType),
    quantization: Option<Quantization>,
) -> RequestMemory {
    let config = &subject.config;
    let device = &target.device.device;
    let table = subject.weights.as_ref();
    let table = table.map_or(dtype, |weights| table_dtype(weights, dtype, device));
    let footprint = Footprint::new(config, dtype.size() as u64)
        .on(target.device.is_cpu())
        .quantized(config, quantization, Some(table.size() as u64))
        .with_kv_precision(config, args.kv_cache);
    RequestMemory::new(
        (subject.name.clone(), config.text_config.clone()),
        (target, dtype),
        footprint,
        args.memory_headroom,
    )
}

struct Bench<'a> {
    args: &'a BenchModelArgs,
    subject: &'a Subject,
    opened: &'a OpenDevice,
    device: &'a Device,
    dtype: DType,
    /// How weights are quantised: as it was asked for, or as the files are.
    quantization: Option<Quantization>,
    watermark: Watermark,
    problems: Vec<String>,
}

impl Bench<'_> {
    fn report(&mut self, device: String, grid: PatchGrid) -> Report {
        let n_tokens = self.args.prompt_tokens + self.args.new_tokens;
        let kv_bytes_per_token = self.kv_bytes_per_token();

        let mut weights = WeightBytes::default();
        let mut load = None;
        let (mut vision, mut prefill, mut decode) = (None, None, None);
        let mut products = None;
        if let Some((glm, made)) = self.part("weights", Self::load) {
            (weights, load) = (made.0, Some(made.1));
            note(&format!(
                "{} parameters in {:.2} s",
                made.0.n_parameters, made.1.seconds
            ));
            vision = self.part("vision", |bench| bench.vision(&glm, grid));
            if let Some(vision) = &vision {
                note_rate("vision", vision.seconds, vision.tokens_per_s);
            }
            let cache = self.part("prefill", |bench| bench.prefill(&glm));
            if let Some((measured, cache)) = cache {
                note_rate("prefill", measured.seconds, measured.tokens_per_s);
                prefill = Some(measured);
                decode = self.part("decode", |bench| bench.decode(&glm, cache, weights));
                if let Some(decode) = &decode {
                    note_rate("decode, a token", decode.seconds, decode.tokens_per_s);
                }
            }
            let chunk = self.args.prefill_chunk;
            products = self.part("products", |bench| {
                products::products(&glm, chunk, bench.dtype, bench.device, bench.args.repeat)
            });
        }
        let memory = Memory {
            weight_bytes: weights.total,
            kv_bytes_per_token,
            kv_bytes: kv_bytes_per_token * n_tokens as u64,
            peak_bytes: self.watermark.peak_bytes(),
            in_use_bytes: self.watermark.in_use_bytes(),
        };
        let ceilings = Ceilings {
            copy: self.part("copy", |bench| {
                // The model is gone by now: its memory is the copy's.
                bench.device.memory_cleanup();
                ceilings::copy(bench.opened, bench.args.repeat)
            }),
            matmul: self.part("matmul", |bench| {
                ceilings::matmul(bench.opened, bench.dtype, bench.args.repeat)
            }),
        };
        Report {
            engine: format!("glyph {}", env!("CARGO_PKG_VERSION")),
            model: self.subject.name.clone(),
            parameters: weights.n_parameters,
            device,
            dtype: dtype_name(self.dtype).to_owned(),
            quantize: self
                .quantization
                .map(|quantization| quantization.name().to_owned()),
            kv_cache: (self.kv_precision() != KvPrecision::Full)
                .then(|| self.kv_precision().name().to_owned()),
            load,
            vision,
            prefill,
            decode,
            products: products.unwrap_or_default(),
            memory,
            ceilings,
            problems: std::mem::take(&mut self.problems),
        }
    }

    /// As it is had on the device.
    fn kv_precision(&self) -> KvPrecision {
        let is_by_own_kernels = self.opened.is_cpu() && self.dtype == DType::F32;
        self.args.kv_cache.on(is_by_own_kernels)
    }

    fn kv_bytes_per_token(&self) -> u64 {
        let text = &self.subject.config.text_config;
        self.kv_precision().bytes_per_token(text, self.dtype.size()) as u64
    }

    /// A piece of the measurement. Where the device fails that ends the piece and nothing else.
    fn part<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Option<T> {
        let outcome = guarded(|| work(self), |reason| reason);
        let (watermark, device) = (&mut self.watermark, self.device);
        let look = || {
            watermark.look(device);
            Ok(())
        };
        // A device that failed may not even say what it holds.
        drop(guarded(look, |reason: String| reason));
        match outcome {
            Ok(value) => Some(value),
            Err(reason) => {
                let problem = format!("{name} was not measured: {reason}");
                note(&problem);
                self.problems.push(problem);
                None
            }
        }
    }

    fn load(&mut self) -> Result<(Glm4v, (WeightBytes, Load)), String> {
        let config = &self.subject.config;
        wait(self.device)?;
        let start = Instant::now();
        let (dtype, quantization) = (self.dtype, self.args.quantize);
        let made = match (&self.subject.weights, quantization) {
            (None, None) => Ok(random_model(config, dtype, self.device)),
            (None, Some(quantization)) => {
                quantize_model(random_model(config, dtype, self.device), quantization)
            }
            (Some(files), _) => {
                let empty = Glm4v::new(config, self.device);
                let load_as = LoadAs {
                    dtype,
                    quantization,
                };
                let loaded = load_model(empty, files, self.device, load_as, |_| true, |_| {});
                loaded.map(|(glm, _)| glm)
            }
        };
        let mut glm = made.map_err(|error| error.to_string())?;
        let bytes = touch(&mut glm, self.device)?;
        // As a checkpoint's weights lie once it is loaded.
        glm.pack();
        wait(self.device)?;
        let seconds = start.elapsed().as_secs_f64();
        let load = Load {
            is_random: self.subject.weights.is_none(),
            seconds,
            bytes_per_s: Some(bytes.total as f64 / seconds),
        };
        Ok((glm, (bytes, load)))
    }

    fn vision(&mut self, glm: &Glm4v, grid: PatchGrid) -> Result<Vision, String> {
        let config = &self.subject.config;
        let patch_len = config.vision_config.frame_patch_len();
        let n_values = grid.n_patches() * patch_len;
        let image = ImagePatches {
            grid,
            patch_len,
            values: (0..n_values)
                .map(|i| (i % 251) as f32 / 125.0 - 1.0)
                .collect(),
        };
        let seconds = measure(self.device, self.args.repeat, || {
            let features = encode_images(glm, std::slice::from_ref(&image), self.device);
            let features = features.ok_or("no image was encoded")?;
            read_one(features)
        })?;
        let tokens = grid.n_tokens(config.vision_config.spatial_merge_size);
        let flops = work::vision_flops(config, grid.n_patches());
        Ok(Vision {
            page_px: self.args.page,
            patches: grid.n_patches(),
            tokens,
            seconds,
            tokens_per_s: tokens as f64 / seconds.median,
            flops,
            flops_per_s: flops / seconds.median,
            share_of_matmul: None,
        })
    }

    /// The prompt, and its keys and values.
    fn prefill(&mut self, glm: &Glm4v) -> Result<(Prefill, KvCache), String> {
        let text = &self.subject.config.text_config;
        let n = self.args.prompt_tokens;
        let ids = prompt_ids(n, text.vocab_size);
        let chunk_tokens = self.args.prefill_chunk.min(n);
        let place = (self.device, self.dtype);
        let n_positions = n + self.args.new_tokens;
        let cache = KvCache::with_precision(text, n_positions, self.args.kv_cache, place);
        let mut steps = Steps::new(glm, cache, text.vocab_size, self.device)?;
        let seconds = measure(self.device, self.args.repeat, || {
            steps.prompt(&ids, chunk_tokens).map(drop)
        })?;
        let flops = work::prefill_flops(text, n);
        let prefill = Prefill {
            tokens: n,
            chunk_tokens,
            seconds,
            tokens_per_s: n as f64 / seconds.median,
            flops,
            flops_per_s: flops / seconds.median,
            share_of_matmul: None,
        };
        Ok((prefill, steps.cache))
    }

    /// Answers to the prompt whose keys and values are in the cache.
    fn decode(
        &mut self,
        glm: &Glm4v,
        cache: KvCache,
        weights: WeightBytes,
    ) -> Result<Decode, String> {
        let (n_prompt, n) = (self.args.prompt_tokens, self.args.new_tokens);
        let vocab_size = self.subject.config.text_config.vocab_size;
        let mut steps = Steps::new(glm, cache, vocab_size, self.device)?;
        let seconds = measure(self.device, self.args.repeat, || {
            steps.answer(FIRST_ID, n_prompt, n).map(drop)
        })?
        .per(n);
        let context_tokens = n_prompt + n / 2;
        let bytes = work::decode_bytes(
            &self.subject.config,
            weights,
            self.kv_bytes_per_token(),
            context_tokens,
        );
        Ok(Decode {
            tokens: n,
            context_tokens,
            seconds,
            tokens_per_s: seconds.median.recip(),
            bytes,
            bytes_per_s: bytes / seconds.median,
            share_of_copy: None,
        })
    }
}

/// Ids of a prompt: which ones is all the same to the time that they take.
fn prompt_ids(n: usize, vocab_size: usize) -> Vec<u32> {
    (0..n).map(|i| (i * 7919 % vocab_size) as u32).collect()
}

/// The token that an answer goes on from.
const FIRST_ID: u32 = 1;

fn note(text: &str) {
    output::note(&format!("bench: {text}"));
}

fn note_rate(what: &str, seconds: Seconds, tokens_per_s: f64) {
    note(&format!(
        "{what}: {:.3} ms ± {:.0} %, {tokens_per_s:.1} tokens/s; the first took {:.2} s",
        seconds.median * 1e3,
        seconds.spread() * 1e2,
        seconds.first
    ));
}

/// The device's name, what it is, and its driver where it has one.
fn device_name(device: &OpenDevice) -> String {
    let driver = device.driver.as_ref();
    let driver = driver.map_or_else(String::new, |driver| format!(", driver {driver}"));
    format!("{}: {}{driver}", device.name, device.description)
}
