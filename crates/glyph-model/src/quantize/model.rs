//! Quantising a model that is loaded.

use super::{PackedMatrix, Quantization, QuantizedWeight};
use crate::error::{ModelError, Result};
use crate::layers::Linear;
use crate::model::Glm4v;

/// Quantises the linear layers that [`Role`](super::Role) names, one at a time, each where it lies: a weight that is
/// not made yet is made, packed and dropped before the next.
///
/// # Errors
/// [`ModelError::Read`] when a weight cannot be read back from the device; [`ModelError::Pack`] when it holds what cannot
/// be quantised.
pub fn quantize_model(mut model: Glm4v, quantization: Quantization) -> Result<Glm4v> {
    for (name, linear) in model.quantizable() {
        if let Some(bits) = quantization.bits_of(&name, &linear.shape()) {
            linear.quantize(&name, bits)?;
        }
    }
    Ok(model)
}

impl Linear {
    /// Replaces the weight by its quantised values on the same device. `name` is the weight's, for errors.
    ///
    /// # Errors
    /// [`ModelError::Read`] when it cannot be read back from the device; [`ModelError::Pack`] when its rows are no whole
    /// number of [blocks](super::BLOCK), or it holds what cannot be quantised.
    pub fn quantize(&mut self, name: &str, bits: super::Bits) -> Result<()> {
        let unread = |reason: String| ModelError::Read {
            reason: format!("{name}: {reason}"),
        };
        let Some(weight) = self.weight() else {
            return Err(unread("the weight is quantised already".to_owned()));
        };
        let weight = weight.val();
        let (device, shape) = (weight.device(), weight.dims());
        let data = weight
            .try_into_data()
            .map_err(|error| unread(error.to_string()))?;
        let matrix = PackedMatrix::quantize(data.as_bytes(), data.dtype(), shape, bits)
            .map_err(|error| error.of(name))?;
        self.set_quantized(QuantizedWeight::new(matrix, &device));
        Ok(())
    }
}
