//! Bytes that a model's tensors take where they lie, from their names and shapes alone.

use burn::tensor::Device;
use burn::tensor::quantization::ScaleDtype;

use super::weight::packed_dtype;
use super::{BLOCK, Bits, Quantization, Role, SCALE_BYTES, TOKEN_TABLE};
use crate::cpu;

/// Bytes of a block's scale on a GPU that does not compute in f16.
pub(super) const WIDE_SCALE_BYTES: u64 = 4;

/// Rows of this many words are read by the widest of the GPU's products of one row and a matrix; others are not read by
/// them at all.
const WORDS_PER_STEP: usize = 32;

/// Rows are lengthened to whole steps where that makes them no longer than by one part in this many.
const LEAST_PARTS: usize = 50;

/// Where rows and tensors begin on CUDA.
const ALIGNMENT: u64 = 512;

/// Where short rows begin on CUDA at the least.
const LEAST_ALIGNMENT: u64 = 16;

/// How tensors lie in a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorLayout {
    place: Place,
    /// Bytes of a value of the token table of a quantised model that has an output head of its own; `None` where it has
    /// those of any other.
    table_bytes: Option<u64>,
}

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The host's: one value after the other, quantised matrices as they are saved.
    Host,
    /// A GPU's, as CUDA has them: rows of quantised values may be longer than those that are saved, and every row
    /// begins at a multiple of a power of two. By wgpu rows lie side by side, which takes less by no more than a
    /// hundredth.
    Gpu {
        /// Bytes of a quantised block's scale.
        scale_bytes: u64,
    },
}

impl TensorLayout {
    /// In the host's memory.
    pub const HOST: Self = Self {
        place: Place::Host,
        table_bytes: None,
    };

    /// On any GPU that computes in values of so many bytes. One that is to compute in f32 may have nothing narrower.
    pub fn gpu(bytes_per_value: u64) -> Self {
        let scale_bytes = match bytes_per_value {
            ..4 => SCALE_BYTES as u64,
            _ => WIDE_SCALE_BYTES,
        };
        Self {
            place: Place::Gpu { scale_bytes },
            table_bytes: None,
        }
    }

    /// On a device that is there.
    pub fn of(device: &Device) -> Self {
        if cpu::is_here(device) {
            return Self::HOST;
        }
        let has_f16 = device.supports_dtype(packed_dtype(Bits::Eight, ScaleDtype::F16));
        let scale_bytes = if has_f16 {
            SCALE_BYTES as u64
        } else {
            WIDE_SCALE_BYTES
        };
        Self {
            place: Place::Gpu { scale_bytes },
            table_bytes: None,
        }
    }

    /// The same where the token table of a quantised model that has an output head of its own has values of so many
    /// bytes. It may stay as narrow as it is stored, since a row is made wider when it is looked up:
    /// [`table_dtype`](crate::weights::table_dtype) says which type a checkpoint's has. Without word of it the table is
    /// counted as wide as all else.
    pub fn with_table(self, value_bytes: u64) -> Self {
        Self {
            table_bytes: Some(value_bytes),
            ..self
        }
    }

    /// Bytes of all of a model's tensors, where a value that is not quantised takes `bytes_per_value`.
    pub fn model_bytes(
        self,
        specs: &[(String, Vec<usize>)],
        quantization: Option<Quantization>,
        bytes_per_value: u64,
    ) -> u64 {
        self.tensor_bytes(specs, quantization, bytes_per_value)
            .map(|(_, n_bytes)| n_bytes)
            .fold(0, u64::saturating_add)
    }

    /// Bytes of each of them, with its name.
    pub fn tensor_bytes(
        self,
        specs: &[(String, Vec<usize>)],
        quantization: Option<Quantization>,
        bytes_per_value: u64,
    ) -> impl Iterator<Item = (&str, u64)> {
        let bits_of = move |name: &str, shape: &[usize]| {
            quantization.and_then(|quantization| quantization.bits_of(name, shape))
        };
        let is_quantized = specs
            .iter()
            .any(|(name, shape)| bits_of(name, shape).is_some());
        let has_head = specs
            .iter()
            .any(|(name, _)| Role::of(name) == Some(Role::OutputHead));
        specs.iter().map(move |(name, shape)| {
            let is_narrow_table = is_quantized && has_head && name == TOKEN_TABLE;
            let n_bytes = match (bits_of(name, shape), shape.as_slice()) {
                (Some(bits), [d_out, d_in]) => self.matrix_bytes(bits, [*d_out, *d_in]),
                _ if is_narrow_table => {
                    self.plain_bytes(shape, self.table_bytes.unwrap_or(bytes_per_value))
                }
                _ => self.plain_bytes(shape, bytes_per_value),
            };
            (name.as_str(), n_bytes)
        })
    }

    /// Bytes of a quantised matrix `[d_out, d_in]` with its scales.
    pub fn matrix_bytes(self, bits: Bits, [d_out, d_in]: [usize; 2]) -> u64 {
        match self.place {
            Place::Host => bits.matrix_bytes((d_out as u64).saturating_mul(d_in as u64)),
            Place::Gpu { scale_bytes } => {
                gpu_matrix_bytes(bits, [d_out, gpu_row(bits, d_in)], scale_bytes)
            }
        }
    }

    /// Bytes of a tensor that is not quantised; a kernel lies as a matrix, a row for each output.
    fn plain_bytes(self, shape: &[usize], value_bytes: u64) -> u64 {
        let product = |sides: &[usize]| {
            let sides = sides.iter().map(|n| *n as u64);
            sides.fold(1, u64::saturating_mul)
        };
        match (self.place, shape) {
            (Place::Host, _) => product(shape).saturating_mul(value_bytes),
            (Place::Gpu { .. }, [n_rows, row @ ..]) if !row.is_empty() => {
                rows_bytes(*n_rows as u64, product(row), value_bytes)
            }
            (Place::Gpu { .. }, _) => rows_bytes(1, product(shape), value_bytes),
        }
    }
}

/// Length of a row of quantised values on a GPU: lengthened with zeros to whole steps where that costs little.
pub(super) fn gpu_row(bits: Bits, d_in: usize) -> usize {
    let padded = d_in.next_multiple_of(WORDS_PER_STEP * 32 / bits.count());
    if (padded - d_in) * LEAST_PARTS <= d_in {
        padded
    } else {
        d_in
    }
}

/// Bytes of a quantised matrix on a GPU, whose rows have `d_in` values there.
pub(super) fn gpu_matrix_bytes(bits: Bits, [d_out, d_in]: [usize; 2], scale_bytes: u64) -> u64 {
    let n_rows = d_out as u64;
    let values = rows_bytes(n_rows, bits.value_bytes(d_in) as u64, 1);
    let scales = rows_bytes(n_rows, (d_in / BLOCK) as u64, scale_bytes);
    values.saturating_add(scales)
}

/// Bytes of rows as cubecl lays them out on CUDA: each begins at a multiple of its length rounded up to a power of two,
/// of 16 at the least and 512 at the most, unless it is a single value; the next tensor at a multiple of 512.
fn rows_bytes(n_rows: u64, row_values: u64, value_bytes: u64) -> u64 {
    let row_bytes = row_values.saturating_mul(value_bytes);
    let alignment = match row_values {
        ..=1 => 1,
        _ if row_bytes >= ALIGNMENT => ALIGNMENT,
        _ => row_bytes.next_power_of_two().max(LEAST_ALIGNMENT),
    };
    let rows = n_rows.saturating_mul(up_to_multiple(row_bytes, alignment));
    up_to_multiple(rows, ALIGNMENT)
}

fn up_to_multiple(n_bytes: u64, alignment: u64) -> u64 {
    n_bytes.div_ceil(alignment).saturating_mul(alignment)
}

#[cfg(test)]
mod tests {
    use super::{Bits, Place, Quantization, TensorLayout, gpu_row};

    const GPU: TensorLayout = TensorLayout {
        place: Place::Gpu { scale_bytes: 2 },
        table_bytes: None,
    };

    fn spec(name: &str, shape: &[usize]) -> (String, Vec<usize>) {
        (name.to_owned(), shape.to_vec())
    }

    #[test]
    fn rows_are_lengthened_where_that_costs_little() {
        for (bits, d_in, on_gpu) in [
            (Bits::Four, 13_696, 13_824),
            (Bits::Eight, 13_696, 13_696),
            (Bits::Four, 4096, 4096),
            (Bits::Eight, 4096, 4096),
            // By a little less than a fiftieth, and by a little more.
            (Bits::Eight, 4896, 4992),
            (Bits::Eight, 4768, 4768),
            (Bits::Four, 96, 96),
        ] {
            assert_eq!(gpu_row(bits, d_in), on_gpu, "{bits:?} {d_in}");
        }
    }

    #[test]
    fn the_matrices_of_the_9b_model_take_what_their_rows_take() {
        for (bits, d_in, on_host, on_gpu) in [
            // Rows of 4096 values are whole multiples, and so are those of their scales.
            (Bits::Four, 4096, 2048 + 256, 2048 + 256),
            (Bits::Eight, 4096, 4096 + 256, 4096 + 256),
            // 13,824 values in 6912 bytes and 432 scales in 864; 13,696 values and 428 scales in 856.
            (Bits::Four, 13_696, 6848 + 856, 7168 + 1024),
            (Bits::Eight, 13_696, 13_696 + 856, 13_824 + 1024),
        ] {
            let bytes = |layout: TensorLayout| layout.matrix_bytes(bits, [4096, d_in]);
            let found = (bytes(TensorLayout::HOST), bytes(GPU));
            assert_eq!(found, (4096 * on_host, 4096 * on_gpu), "{bits:?} {d_in}");
        }
        // Scales in f32 are twice as long.
        let wide = TensorLayout::gpu(4).matrix_bytes(Bits::Four, [4096, 4096]);
        assert_eq!(wide, 4096 * (2048 + 512));
        assert_eq!(TensorLayout::gpu(2), GPU);
    }

    #[test]
    fn a_kernel_lies_as_a_matrix_and_a_vector_as_a_row() {
        let specs = [
            spec("kernel", &[8, 3, 2, 2]),
            spec("vector", &[24]),
            spec("column", &[700, 1]),
            spec("matrix", &[10, 300]),
        ];
        let bytes = |layout: TensorLayout| -> Vec<u64> {
            let tensors = layout.tensor_bytes(&specs, None, 4);
            tensors.map(|(_, n_bytes)| n_bytes).collect()
        };
        assert_eq!(bytes(TensorLayout::HOST), [384, 96, 2800, 12_000]);
        // 48 bytes a row begin at multiples of 64, single values side by side, 1200 bytes at multiples of 512.
        assert_eq!(bytes(GPU), [512, 512, 3072, 15_360]);
    }

    #[test]
    fn the_token_table_is_as_narrow_as_is_said_where_a_head_is_apart() {
        let table = spec(super::TOKEN_TABLE, &[256, 64]);
        let head = spec("lm_head.weight", &[256, 64]);
        let both = [table, head];
        let n_values = 256 * 64;
        for layout in [TensorLayout::HOST, TensorLayout::gpu(4)] {
            let table_bytes = |specs: &[(String, Vec<usize>)],
                               layout: TensorLayout,
                               quantization: Option<Quantization>| {
                let mut tensors = layout.tensor_bytes(specs, quantization, 4);
                tensors.next().unwrap().1
            };
            let q8 = Some(Quantization::Q8);
            // Files may hold it in 32 bits, and a device may lack those of 16.
            assert_eq!(table_bytes(&both, layout, q8), 4 * n_values);
            let wide = layout.with_table(4);
            assert_eq!(table_bytes(&both, wide, q8), 4 * n_values);
            let narrow = layout.with_table(2);
            assert_eq!(table_bytes(&both, narrow, q8), 2 * n_values);
            // That of a model that is not quantised, or one that is multiplied with, is in the type of all others.
            assert_eq!(table_bytes(&both, narrow, None), 4 * n_values);
            assert_eq!(table_bytes(&both[..1], narrow, q8), 4 * n_values);
            // Neither is that of a model whose rows are no whole blocks.
            let odd = both.clone().map(|(name, _)| spec(&name, &[256, 40]));
            let as_it_is = table_bytes(&odd, narrow, None);
            assert_eq!(table_bytes(&odd, narrow, q8), as_it_is);
        }
    }
}
