//! Weights by the checkpoint's tensor names: safetensors, single or sharded, in files or in memory.

mod cast;
#[cfg(not(target_family = "wasm"))]
mod directory;
mod file_bytes;
mod load;
mod names;
#[cfg(not(target_family = "wasm"))]
mod quantized_files;
// It waits for the device, which a browser cannot.
#[cfg(not(target_family = "wasm"))]
mod save;
mod source;

pub use load::{
    LoadAs, LoadReport, load_model, load_some_weights, load_weights, table_dtype, tensor_specs,
};
#[cfg(not(target_family = "wasm"))]
pub use quantized_files::{QuantizedFiles, write_quantized};
#[cfg(not(target_family = "wasm"))]
pub use save::{SavedDType, safetensors_bytes};
pub use source::{TensorInfo, WeightFiles};
