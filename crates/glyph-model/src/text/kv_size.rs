//! How large the tensors of keys and values are, for devices whose buffers are smaller than their memory.

use super::kv_tensors::KEY_ALIGNMENT;
use crate::config::TextConfig;

/// Bytes of the largest tensors that a request's keys or values take on a device. In how many bits they are kept makes
/// no difference: attention sees them in the type that it computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvTensorBytes {
    /// Keys of a layer over the whole request.
    pub keys: u64,
    /// Keys or values of a layer over the prompt, once for each query head: a chunk of a prompt attends to such a copy.
    /// Nothing where heads do not share them.
    pub repeated: u64,
}

impl KvTensorBytes {
    /// Of a request of `n_tokens`, `n_prompt` of them its prompt, whose values take `bytes_per_value`.
    pub fn new(
        config: &TextConfig,
        bytes_per_value: usize,
        [n_prompt, n_tokens]: [usize; 2],
    ) -> Self {
        let (n_heads, n_kv_heads) = (config.num_attention_heads, config.num_key_value_heads());
        let bytes = |n_heads: usize, n_tokens: usize| {
            let sizes = [n_heads, config.head_dim(), n_tokens, bytes_per_value];
            sizes
                .map(|n| n as u64)
                .into_iter()
                .fold(1, u64::saturating_mul)
        };
        let n_keys = n_tokens.checked_next_multiple_of(KEY_ALIGNMENT);
        Self {
            keys: bytes(n_kv_heads, n_keys.unwrap_or(usize::MAX)),
            repeated: match n_kv_heads == n_heads {
                true => 0,
                false => bytes(n_heads, n_prompt),
            },
        }
    }

    /// The most tokens of a request, be all of them its prompt, whose tensors take no more than `most_bytes` each.
    pub fn most_tokens(config: &TextConfig, bytes_per_value: usize, most_bytes: u64) -> usize {
        let of_a_token = config.num_attention_heads * config.head_dim() * bytes_per_value;
        let n_tokens = most_bytes / (of_a_token as u64).max(1);
        let n_tokens = usize::try_from(n_tokens).unwrap_or(usize::MAX);
        n_tokens - n_tokens % KEY_ALIGNMENT
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, Tensor};

    use super::{KEY_ALIGNMENT, KvTensorBytes};
    use crate::config::{ModelConfig, TextConfig};
    use crate::text::kv_tensors::KvTensors;
    use crate::text::{KvPrecision, SelfAttention};

    const F32_BYTES: usize = size_of::<f32>();

    /// Eight query heads of 16 channels.
    fn config(n_kv_heads: usize) -> TextConfig {
        let json = r#"{
            "model_type": "glm4v",
            "image_token_id": 900,
            "text_config": {
                "vocab_size": 1000, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 1,
                "num_attention_heads": 8, "num_key_value_heads": KV_HEADS, "max_position_embeddings": 8192,
                "partial_rotary_factor": 0.5, "rope_scaling": {"mrope_section": [1, 1, 2]}
            },
            "vision_config": {
                "depth": 1, "hidden_size": 64, "num_heads": 2, "image_size": 336, "patch_size": 14,
                "out_hidden_size": 128, "intermediate_size": 256
            }
        }"#;
        let json = json.replace("KV_HEADS", &n_kv_heads.to_string());
        ModelConfig::from_json(&json).unwrap().text_config
    }

    fn bytes(x: &Tensor<4>) -> u64 {
        (x.dims().iter().product::<usize>() * F32_BYTES) as u64
    }

    #[test]
    fn tensors_are_as_large_as_is_said() {
        let device = Device::flex();
        for n_kv_heads in [2, 8] {
            let config = config(n_kv_heads);
            let attention = SelfAttention::new(&config, &device);
            for precision in [KvPrecision::Full, KvPrecision::Q8] {
                for n in [5, 16, 70] {
                    let said = KvTensorBytes::new(&config, F32_BYTES, [n, n]);
                    let place = (&device, DType::F32);
                    let mut kv = KvTensors::new([1, n_kv_heads, 16], n, precision, place);
                    let new = || Tensor::<4>::zeros([1, n_kv_heads, n, 16], (&device, DType::F32));
                    let (keys, values) = kv.extend(0, 0, new(), new());
                    assert_eq!(bytes(&keys), said.keys);
                    assert!(bytes(&values) <= said.keys);
                    let repeated = bytes(&attention.repeat_heads(values));
                    match n_kv_heads {
                        8 => assert_eq!((said.repeated, repeated <= said.keys), (0, true)),
                        _ => assert_eq!(said.repeated, repeated),
                    }
                }
            }
        }
    }

    #[test]
    fn a_buffer_holds_the_most_tokens_and_not_many_more() {
        for n_kv_heads in [1, 2, 8] {
            let config = config(n_kv_heads);
            let largest = |n: usize| {
                let KvTensorBytes { keys, repeated } = KvTensorBytes::new(&config, 2, [n, n]);
                keys.max(repeated)
            };
            for most_bytes in [1 << 20, (128 << 20) + 1, (1 << 31) - 1] {
                let n = KvTensorBytes::most_tokens(&config, 2, most_bytes);
                assert!(largest(n) <= most_bytes, "{n} tokens in {most_bytes}");
                assert!(
                    largest(n + KEY_ALIGNMENT) > most_bytes,
                    "{n} tokens in {most_bytes}"
                );
            }
            assert_eq!(KvTensorBytes::most_tokens(&config, 2, 0), 0);
        }
    }

    #[test]
    fn sizes_without_bound_do_not_overflow() {
        let said = KvTensorBytes::new(&config(2), F32_BYTES, [usize::MAX; 2]);
        assert_eq!([said.keys, said.repeated], [u64::MAX; 2]);
    }
}
