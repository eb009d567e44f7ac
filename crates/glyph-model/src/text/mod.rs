//! The decoder: token and image embeddings in, logits out.

mod attention;
mod decoder;
mod kv_buffer;
mod kv_cache;
mod kv_size;
mod kv_tensors;
mod layer;
mod mlp;
mod rotary;

pub use attention::SelfAttention;
pub use decoder::{Positions, TextDecoder};
pub use kv_cache::{KvCache, KvPrecision, KvPrefix};
pub use kv_size::KvTensorBytes;
pub use layer::DecoderLayer;
pub use mlp::Mlp;
pub use rotary::MultimodalRotary;
