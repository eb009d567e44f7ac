//! Stored values in the type that they run in.

use burn::tensor::{DType, TensorData};
use half::{bf16, f16};

use crate::error::{ModelError, Result};

/// The least magnitude that rounds to infinity in f16.
const F16_OVERFLOW: f32 = 65_520.0;

/// Values looked at before it is asked whether one was too large: whole vectors of them are compared at once.
const VALUES_AT_ONCE: usize = 4096;

/// Converts a tensor's values.
///
/// # Errors
/// [`ModelError::Overflow`] when f16 does not reach a finite value: the answers would be wrong without a word.
pub(super) fn cast(data: TensorData, dtype: DType, tensor: &str) -> Result<TensorData> {
    let too_large = match (dtype, data.dtype()) {
        (DType::F16, DType::BF16) => first_above(data.as_bytes(), |bytes: [u8; 2]| {
            bf16::from_le_bytes(bytes).to_f32()
        }),
        (DType::F16, DType::F32) => first_above(data.as_bytes(), f32::from_le_bytes),
        _ => None,
    };
    match too_large {
        None => Ok(data.convert_dtype(dtype)),
        Some(value) => Err(ModelError::Overflow {
            tensor: tensor.to_owned(),
            value,
            largest: f16::MAX.to_f32(),
        }),
    }
}

fn first_above<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Option<f32> {
    let is_above = |value: f32| value.abs() >= F16_OVERFLOW && value.is_finite();
    let (values, _) = bytes.as_chunks::<N>();
    values.chunks(VALUES_AT_ONCE).find_map(|values| {
        let any = values
            .iter()
            .fold(false, |any, bytes| any | is_above(value(*bytes)));
        if !any {
            return None;
        }
        values
            .iter()
            .map(|bytes| value(*bytes))
            .find(|value| is_above(*value))
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, TensorData};
    use half::bf16;

    use super::cast;
    use crate::error::ModelError;

    fn data(values: &[f32], dtype: DType) -> TensorData {
        TensorData::new(values.to_vec(), [values.len()]).convert_dtype(dtype)
    }

    #[test]
    fn what_f16_does_not_reach_is_refused_by_tensor_and_value() {
        for dtype in [DType::BF16, DType::F32] {
            let mut values = vec![0.5_f32; 5000];
            values[4321] = -65_536.0;
            let error = cast(data(&values, dtype), DType::F16, "model.norm.weight").unwrap_err();
            let ModelError::Overflow { tensor, value, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!((tensor.as_str(), *value), ("model.norm.weight", -65_536.0));
            assert!(error.to_string().contains("--dtype f32"), "{error}");
            for to in [DType::F32, DType::BF16] {
                assert!(cast(data(&values, dtype), to, "").is_ok());
            }
        }
    }

    #[test]
    fn what_f16_reaches_is_rounded() {
        let cast = |values: &[f32], from| {
            let cast = cast(data(values, from), DType::F16, "").unwrap();
            cast.convert_dtype(DType::F32)
                .try_into_vec::<f32>()
                .unwrap()
        };
        assert_eq!(
            cast(&[65_504.0, 65_519.0, -1e-9], DType::F32),
            [65_504.0, 65_504.0, 0.0]
        );
        let largest = bf16::from_f32(65_280.0).to_f32();
        assert_eq!(cast(&[largest, 1.0], DType::BF16), [largest, 1.0]);
        // Such weights are broken in every type, which is found when they are used.
        assert!(cast(&[f32::INFINITY, f32::NAN], DType::F32)[1].is_nan());
    }
}
