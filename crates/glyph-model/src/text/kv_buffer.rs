//! Keys or values of one layer in tensors, as they are or in 8 bits.

use std::ops::Range;

use burn::tensor::{DType, Device, FloatDType, Int, IntDType, Tensor};

use crate::cpu::{LEAST_STEP, MOST_EIGHT_BITS};

/// Values in a 32-bit word.
const PER_WORD: usize = 4;

/// Room for a number of positions, written in place.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "one for each weight or layer, which are not moved about"
)]
pub(super) enum KvBuffer {
    /// As they are.
    Plain(Tensor<4>),
    /// `value ≈ scale · q`, a scale for each position of each head.
    Eight {
        /// Four channels in a word, the first in the lowest bits.
        words: Tensor<4, Int>,
        /// One instead of the channels.
        scales: Tensor<4>,
        channels: usize,
    },
}

impl KvBuffer {
    /// Zeros of `shape`; in 8 bits where channels make whole words along the axis `packed`.
    pub fn zeros(
        shape: [usize; 4],
        packed: Option<usize>,
        (device, dtype): (&Device, DType),
    ) -> Self {
        match packed {
            Some(channels) if shape[channels].is_multiple_of(PER_WORD) => {
                let of_channels = |n: usize| {
                    let mut shape = shape;
                    shape[channels] = n;
                    shape
                };
                let words = of_channels(shape[channels] / PER_WORD);
                Self::Eight {
                    words: Tensor::zeros(words, (device, DType::I32)),
                    scales: Tensor::zeros(of_channels(1), (device, dtype)),
                    channels,
                }
            }
            _ => Self::Plain(Tensor::zeros(shape, (device, dtype))),
        }
    }

    /// The same with `new` written from `start` on along `positions`.
    pub fn written(self, positions: usize, start: usize, new: Tensor<4>) -> Self {
        match self {
            Self::Plain(all) => {
                let ranges = ranges(new.dims(), positions, start);
                Self::Plain(all.slice_assign(ranges, new))
            }
            Self::Eight {
                words,
                scales,
                channels,
            } => {
                let (new_words, new_scales) = packed(new, channels);
                let at_words = ranges(new_words.dims(), positions, start);
                let at_scales = ranges(new_scales.dims(), positions, start);
                Self::Eight {
                    words: words.slice_assign(at_words, new_words),
                    scales: scales.slice_assign(at_scales, new_scales),
                    channels,
                }
            }
        }
    }

    /// The first `n` along `positions`, as they are stored.
    pub fn narrowed(&self, positions: usize, n: usize) -> Self {
        match self {
            Self::Plain(all) => Self::Plain(all.clone().narrow(positions, 0, n)),
            Self::Eight {
                words,
                scales,
                channels,
            } => Self::Eight {
                words: words.clone().narrow(positions, 0, n),
                scales: scales.clone().narrow(positions, 0, n),
                channels: *channels,
            },
        }
    }

    /// Tensors of its own, where it was a part of others: a slice would keep the whole buffer alive, and the next write
    /// to it would have to copy.
    pub fn copied(self) -> Self {
        match self {
            Self::Plain(all) => Self::Plain(all.mul_scalar(1.0)),
            Self::Eight {
                words,
                scales,
                channels,
            } => Self::Eight {
                words: words.bitwise_or_scalar(0),
                scales: scales.mul_scalar(1.0),
                channels,
            },
        }
    }

    /// The same with the first `n` along `positions` taken from another buffer of this kind; `None` for another kind.
    pub fn restored(self, positions: usize, saved: &Self, n: usize) -> Option<Self> {
        let saved = saved.narrowed(positions, n);
        match (self, saved) {
            (Self::Plain(all), Self::Plain(saved)) => {
                let ranges = ranges(saved.dims(), positions, 0);
                Some(Self::Plain(all.slice_assign(ranges, saved)))
            }
            (
                Self::Eight {
                    words,
                    scales,
                    channels,
                },
                Self::Eight {
                    words: saved_words,
                    scales: saved_scales,
                    ..
                },
            ) => {
                let at_words = ranges(saved_words.dims(), positions, 0);
                let at_scales = ranges(saved_scales.dims(), positions, 0);
                Some(Self::Eight {
                    words: words.slice_assign(at_words, saved_words),
                    scales: scales.slice_assign(at_scales, saved_scales),
                    channels,
                })
            }
            _ => None,
        }
    }

    /// The values.
    pub fn values(self) -> Tensor<4> {
        match self {
            Self::Plain(all) => all,
            Self::Eight {
                words,
                scales,
                channels,
            } => unpacked(words, scales, channels),
        }
    }
}

/// Words and scales of values.
fn packed(values: Tensor<4>, channels: usize) -> (Tensor<4, Int>, Tensor<4>) {
    // Channels last, as they come, so that what makes a word lies side by side: fused kernels of a GPU were seen to
    // read a reshaped view of turned values in the wrong order.
    let values = values.swap_dims(channels, 3);
    let dtype = values.dtype();
    let values = values.cast(FloatDType::F32);
    let scales = values.clone().abs().max_dim(3).div_scalar(MOST_EIGHT_BITS);
    let scales = scales.clamp_min(LEAST_STEP).cast(dtype);
    let whole = (values / scales.clone().cast(FloatDType::F32))
        .round()
        .clamp(-MOST_EIGHT_BITS, MOST_EIGHT_BITS)
        .int()
        .cast(IntDType::I32);
    let [batch, heads, n, width] = whole.dims();
    let whole = whole.reshape([batch, heads, n, width / PER_WORD, PER_WORD]);
    let part = |i: usize| {
        let part = whole.clone().narrow(4, i, 1).squeeze_dim::<4>(4);
        part.bitwise_and_scalar(0xff)
            .bitwise_left_shift_scalar(8 * i as i32)
    };
    let words = (1..PER_WORD).fold(part(0), |words, i| words.bitwise_or(part(i)));
    (words.swap_dims(channels, 3), scales.swap_dims(channels, 3))
}

/// Values of words and scales.
fn unpacked(words: Tensor<4, Int>, scales: Tensor<4>, channels: usize) -> Tensor<4> {
    let dtype = scales.dtype();
    let mut shape = words.dims();
    // Left until the sign is on top, then right with it.
    let part = |i: usize| {
        words
            .clone()
            .bitwise_left_shift_scalar(24 - 8 * i as i32)
            .bitwise_right_shift_scalar(24)
            .float()
            .cast(dtype)
            .unsqueeze_dim::<5>(channels + 1)
    };
    shape[channels] *= PER_WORD;
    let whole = Tensor::cat((0..PER_WORD).map(part).collect(), channels + 1);
    whole.reshape(shape) * scales
}

/// All of `dims`, moved by `start` along an axis.
fn ranges(dims: [usize; 4], axis: usize, start: usize) -> [Range<usize>; 4] {
    let mut ranges = dims.map(|n| 0..n);
    ranges[axis] = start..start + dims[axis];
    ranges
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, Distribution, Tensor};

    use super::KvBuffer;

    fn values(buffer: KvBuffer) -> Vec<f32> {
        buffer.values().into_data().iter().collect()
    }

    #[test]
    fn eight_bits_are_near_wherever_the_channels_are() {
        let device = Device::flex();
        for (channels, positions, shape, new) in [
            (2, 3, [1, 2, 8, 10], [1, 2, 8, 3]),
            (3, 2, [1, 2, 10, 8], [1, 2, 3, 8]),
        ] {
            let options = (&device, DType::F32);
            let new = Tensor::<4>::random(new, Distribution::Normal(0.0, 2.0), &device);
            let plain = KvBuffer::zeros(shape, None, options);
            let eight = KvBuffer::zeros(shape, Some(channels), options);
            assert!(matches!(eight, KvBuffer::Eight { .. }));
            let plain = plain.written(positions, 4, new.clone());
            let eight = eight.written(positions, 4, new.clone());
            let most = new.abs().max().into_data().iter::<f32>().next().unwrap();
            let near = |a: &[f32], b: &[f32]| {
                let off = a.iter().zip(b).map(|(a, b)| (a - b).abs());
                a.len() == b.len() && off.fold(0.0, f32::max) <= 0.51 * most / 127.0
            };
            let whole = values(plain.clone());
            assert!(near(&whole, &values(eight.clone())));
            // What is kept aside comes back, and nothing behind it.
            let saved = eight.narrowed(positions, 6).copied();
            let other = KvBuffer::zeros(shape, Some(channels), options);
            let other = other.restored(positions, &saved, 6).unwrap();
            let shown = values(other.narrowed(positions, 6));
            assert_eq!(shown, values(eight.narrowed(positions, 6)));
            let behind = other.values().narrow(positions, 6, 4).abs().max();
            assert_eq!(behind.into_data().iter::<f32>().next(), Some(0.0));
            assert!(plain.restored(positions, &saved, 6).is_none());
        }
    }

    #[test]
    fn odd_channels_stay_as_they_are() {
        let options = (&Device::flex(), DType::F32);
        let buffer = KvBuffer::zeros([1, 1, 6, 4], Some(2), options);
        assert!(matches!(buffer, KvBuffer::Plain(_)));
    }
}
