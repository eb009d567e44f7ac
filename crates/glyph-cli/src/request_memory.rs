//! Whether a device holds a request, asked before any of its work is done.

use burn::tensor::DType;
use bytesize::ByteSize;
use glyph_device::{OpenDevice, dtype_name};
use glyph_engine::{Footprint, PlanRow, default_headroom_bytes};
use glyph_model::config::TextConfig;
use glyph_model::prompt::Prompt;
use glyph_model::text::KvTensorBytes;

use crate::device::Target;
use crate::error::CliError;

/// Of the free memory the part that is left untouched unless told otherwise, where it is less than a server leaves: a
/// small GPU shall run a small model.
const HEADROOM_SHARE: u64 = 4;

/// What decides how much memory a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestSize {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// Patches of the largest page.
    pub largest_page_patches: usize,
}

impl RequestSize {
    /// Of a prompt and its longest answer.
    pub fn new(prompt: &Prompt, max_new_tokens: usize) -> Self {
        let patches = prompt.grids.iter().map(|grid| grid.n_patches());
        Self {
            prompt_tokens: prompt.ids.len(),
            max_new_tokens,
            largest_page_patches: patches.max().unwrap_or(0),
        }
    }

    /// Prompt and answer.
    fn n_tokens(self) -> usize {
        self.prompt_tokens.saturating_add(self.max_new_tokens)
    }
}

/// A request that the memory does not hold, by the figures of the server's plan.
#[derive(Debug, thiserror::Error)]
#[error(
    "{model} as {dtype} needs {} ({} of weights, {} of activations, {} for a request of {n_tokens} tokens, {} of \
     headroom); {} are free on {device}{}. Ask for a shorter answer or about fewer or smaller pages, choose a smaller \
     --dtype, --quantize q4 or --kv-cache q8, close what uses the memory, lower --memory-headroom, or take another device",
    ByteSize(*needed_bytes), ByteSize(*weight_bytes), ByteSize(*activation_bytes), ByteSize(*request_bytes),
    ByteSize(*headroom_bytes), ByteSize(*free_bytes), enough_for(*most_tokens)
)]
pub struct RequestDoesNotFit {
    /// Name or directory of the model.
    pub model: String,
    /// Name of the device.
    pub device: String,
    /// Type of weights and activations.
    pub dtype: &'static str,
    /// Prompt and answer.
    pub n_tokens: usize,
    /// All that is needed.
    pub needed_bytes: u64,
    /// Weights.
    pub weight_bytes: u64,
    /// Activations of both towers.
    pub activation_bytes: u64,
    /// Keys, values and features of the request.
    pub request_bytes: u64,
    /// What is left untouched.
    pub headroom_bytes: u64,
    /// What is free before the weights are loaded.
    pub free_bytes: u64,
    /// Tokens of the largest request about such pages that fits; 0 where none does.
    pub most_tokens: usize,
}

fn enough_for(most_tokens: usize) -> String {
    match most_tokens {
        0 => String::new(),
        most => format!(", enough for {most} tokens"),
    }
}

/// A device that a model is to run on, and what the model takes.
#[derive(Debug, Clone)]
pub struct RequestMemory {
    model: String,
    device: OpenDevice,
    dtype: DType,
    text_config: TextConfig,
    footprint: Footprint,
    memory: Option<FreeMemory>,
}

/// Memory of a device that says how much it has.
#[derive(Debug, Clone, Copy)]
struct FreeMemory {
    /// Free before the weights are loaded.
    free_bytes: u64,
    headroom_bytes: u64,
}

impl FreeMemory {
    fn new(free_bytes: u64, is_cpu: bool, headroom: Option<ByteSize>) -> Self {
        let default_bytes = || {
            let of_server = default_headroom_bytes(is_cpu, free_bytes);
            of_server.min(free_bytes / HEADROOM_SHARE)
        };
        Self {
            free_bytes,
            headroom_bytes: headroom.map_or_else(default_bytes, |size| size.0),
        }
    }
}

impl RequestMemory {
    /// Looks at the memory as it is now, before the weights are loaded.
    pub fn new(
        (model, text_config): (String, TextConfig),
        (target, dtype): (&Target, DType),
        footprint: Footprint,
        headroom: Option<ByteSize>,
    ) -> Self {
        let is_cpu = target.device.is_cpu();
        let free_bytes = target.free_bytes();
        Self {
            model,
            device: target.device.clone(),
            dtype,
            text_config,
            footprint,
            memory: free_bytes.map(|free_bytes| FreeMemory::new(free_bytes, is_cpu, headroom)),
        }
    }

    /// Refuses a request that the device has no memory or no buffer for. Where nothing says how much memory there is,
    /// buffers alone are asked for.
    pub fn check(&self, request: RequestSize) -> Result<(), CliError> {
        let n_tokens = request.n_tokens();
        let tokens = [request.prompt_tokens, n_tokens];
        check_kv_tensors(&self.device, &self.text_config, self.dtype, tokens)?;
        let Some(memory) = self.memory else {
            return Ok(());
        };
        let row = self.plan(request, memory);
        if row.total_bytes <= memory.free_bytes {
            return Ok(());
        }
        Err(CliError::Memory(Box::new(RequestDoesNotFit {
            model: self.model.clone(),
            device: self.device.name.clone(),
            dtype: dtype_name(self.dtype),
            n_tokens,
            needed_bytes: row.total_bytes,
            weight_bytes: self.footprint.weight_bytes,
            activation_bytes: row.vision_bytes.saturating_add(row.decoder_bytes),
            request_bytes: row.kv_bytes.saturating_add(row.feature_bytes),
            headroom_bytes: memory.headroom_bytes,
            free_bytes: memory.free_bytes,
            most_tokens: row.largest_context_tokens,
        })))
    }

    fn plan(&self, request: RequestSize, memory: FreeMemory) -> PlanRow {
        PlanRow::new(
            &self.footprint,
            request.largest_page_patches,
            (1, request.n_tokens()),
            (memory.free_bytes, memory.headroom_bytes),
        )
    }
}

/// Refuses a request with keys or values that the device has no buffer for.
fn check_kv_tensors(
    device: &OpenDevice,
    config: &TextConfig,
    dtype: DType,
    [prompt_tokens, n_tokens]: [usize; 2],
) -> Result<(), CliError> {
    let of_request = [prompt_tokens, n_tokens];
    let KvTensorBytes { keys, repeated } = KvTensorBytes::new(config, dtype.size(), of_request);
    let of_keys = format!("the keys of a layer over {n_tokens} tokens");
    let of_copy = format!(
        "the keys of a layer over {prompt_tokens} tokens of prompt, once for each query head,"
    );
    let tensors = [(of_keys.as_str(), keys), (of_copy.as_str(), repeated)];
    let checked = device.check_request(tensors);
    checked.map_err(|source| CliError::Device {
        choice: device.name.clone(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use bytesize::ByteSize;
    use glyph_device::DeviceChoice;
    use glyph_engine::Footprint;
    use glyph_model::checkpoint::CheckpointFiles;
    use glyph_model::config::ModelConfig;

    use super::{FreeMemory, RequestMemory, RequestSize};
    use crate::bundled::{self, Bundled};
    use crate::error::CliError;

    const HEADROOM_BYTES: u64 = 100 << 20;

    const REQUEST: RequestSize = RequestSize {
        prompt_tokens: 3000,
        max_new_tokens: 1000,
        largest_page_patches: 2520,
    };

    /// The built-in model on a CPU with so much free memory.
    fn memory(free_bytes: u64) -> RequestMemory {
        let json = Bundled.read("config.json").unwrap().unwrap();
        let config = ModelConfig::from_json(std::str::from_utf8(&json).unwrap()).unwrap();
        RequestMemory {
            model: bundled::NAME.to_owned(),
            device: glyph_device::open(DeviceChoice::Cpu).unwrap(),
            dtype: DType::F32,
            footprint: Footprint::new(&config, 4),
            text_config: config.text_config,
            memory: Some(FreeMemory {
                free_bytes,
                headroom_bytes: HEADROOM_BYTES,
            }),
        }
    }

    /// What the plan has for a request.
    fn needed_bytes(request: RequestSize) -> u64 {
        let memory = memory(0);
        memory.plan(request, memory.memory.unwrap()).total_bytes
    }

    #[test]
    fn a_request_that_memory_holds_to_the_byte_is_taken_and_one_byte_less_is_not() {
        let needed = needed_bytes(REQUEST);
        assert!(memory(needed).check(REQUEST).is_ok());
        let error = memory(needed - 1).check(REQUEST).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        let CliError::Memory(short) = &error else {
            panic!("{error}")
        };
        let parts = [
            short.weight_bytes,
            short.activation_bytes,
            short.request_bytes,
            short.headroom_bytes,
        ];
        assert_eq!(parts.iter().sum::<u64>(), needed);
        assert_eq!((short.needed_bytes, short.free_bytes), (needed, needed - 1));
        let message = error.to_string();
        for bytes in parts.into_iter().chain([needed]) {
            let figure = ByteSize(bytes).to_string();
            assert!(message.contains(&figure), "no {figure} in {message}");
        }
        for part in ["glyph-mini as f32", "4000 tokens", "on cpu, enough for "] {
            assert!(message.contains(part), "no {part} in {message}");
        }
        // What is named as enough is.
        let smaller = RequestSize {
            max_new_tokens: short.most_tokens - REQUEST.prompt_tokens,
            ..REQUEST
        };
        assert!(memory(needed - 1).check(smaller).is_ok());
    }

    #[test]
    fn weights_keys_and_values_are_not_all_that_must_fit() {
        let needs = memory(0).footprint;
        let n_tokens = REQUEST.prompt_tokens + REQUEST.max_new_tokens;
        let held = needs.weight_bytes + needs.request_bytes(n_tokens) + HEADROOM_BYTES;
        let towers = needs.vision_bytes(REQUEST.largest_page_patches);
        let towers = towers + needs.decoder_bytes(1, n_tokens);
        assert!(memory(held).check(REQUEST).is_err());
        assert!(memory(held + towers - 1).check(REQUEST).is_err());
        assert!(memory(held + towers).check(REQUEST).is_ok());
        // A larger page needs more of them.
        let large = RequestSize {
            largest_page_patches: 2 * REQUEST.largest_page_patches,
            ..REQUEST
        };
        assert!(memory(held + towers).check(large).is_err());
    }

    #[test]
    fn weights_alone_can_be_too_much() {
        let error = memory(1 << 20).check(REQUEST).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("1.0 MiB are free on cpu. Ask"),
            "{message}"
        );
    }

    #[test]
    fn a_request_takes_no_larger_buffers_than_the_device_has() {
        let mut memory = memory(u64::MAX);
        // Half of what a layer keeps; the built-in model's heads share no keys.
        let n_layers = memory.text_config.num_hidden_layers as u64;
        let keys_bytes = memory.footprint.kv_bytes(4000) / (2 * n_layers);
        memory.device.most_buffer_bytes = Some(keys_bytes);
        assert!(memory.check(REQUEST).is_ok());
        memory.device.most_buffer_bytes = Some(keys_bytes - 1);
        let error = memory.check(REQUEST).unwrap_err();
        assert_eq!(error.exit_code(), 6);
        let message = error.to_string();
        let figure = keys_bytes.to_string();
        for part in ["keys of a layer over 4000 tokens", figure.as_str()] {
            assert!(message.contains(part), "no {part} in {message}");
        }
        // It is refused though nothing says how much memory there is, which alone would refuse nothing.
        memory.memory = None;
        assert!(memory.check(REQUEST).is_err());
        memory.device.most_buffer_bytes = None;
        assert!(memory.check(REQUEST).is_ok());
    }

    #[test]
    fn no_more_than_a_quarter_is_left_free_unless_it_is_asked_for() {
        let headroom =
            |free_bytes, is_cpu, asked| FreeMemory::new(free_bytes, is_cpu, asked).headroom_bytes;
        for is_cpu in [false, true] {
            assert_eq!(headroom(4 << 30, is_cpu, None), 1 << 30);
            assert_eq!(headroom(80 << 30, is_cpu, None), 4 << 30);
            let asked = Some(ByteSize::gib(9));
            assert_eq!(headroom(8 << 30, is_cpu, asked), 9 << 30);
        }
    }
}
