//! What the device itself reaches: how fast it copies, how fast it multiplies large matrices.

use burn::tensor::{DType, Device, Distribution, Tensor};

use super::report::{CopyRate, MatmulRate};
use super::steps::read_one;
use super::timing::measure;

/// Bytes that are copied, beyond every cache, and copies of a run.
const GPU_COPY: (usize, usize) = (1 << 30, 16);
const CPU_COPY: (usize, usize) = (1 << 28, 4);

/// Side of the square matrices, and products of a run.
const GPU_PRODUCT: (usize, usize) = (8192, 8);
const CPU_PRODUCT: (usize, usize) = (2048, 1);

/// Bytes read and written a second when a large tensor is copied by a kernel that does next to nothing else.
pub fn copy(device: &Device, repeat: usize) -> Result<CopyRate, String> {
    let (n_bytes, n_copies) = if is_cpu(device) { CPU_COPY } else { GPU_COPY };
    let x = Tensor::<1>::full([n_bytes / size_of::<f32>()], 1.0, (device, DType::F32));
    let seconds = measure(device, repeat, || {
        each(device, n_copies, || x.clone().add_scalar(1.0))
    })?
    .per(n_copies);
    Ok(CopyRate {
        bytes: n_bytes as u64,
        seconds,
        bytes_per_s: 2.0 * n_bytes as f64 / seconds.median,
    })
}

/// Operations a second in a product of two large matrices, the right one transposed as weights are.
pub fn matmul(device: &Device, dtype: DType, repeat: usize) -> Result<MatmulRate, String> {
    let (side, n_products) = if is_cpu(device) {
        CPU_PRODUCT
    } else {
        GPU_PRODUCT
    };
    let random = || {
        Tensor::<2>::random(
            [side, side],
            Distribution::Normal(0.0, 1.0),
            (device, dtype),
        )
    };
    let (a, b) = (random(), random());
    let seconds = measure(device, repeat, || {
        let product = || a.clone().matmul(b.clone().transpose());
        each(device, n_products, product)
    })?
    .per(n_products);
    Ok(MatmulRate {
        side,
        seconds,
        flops_per_s: 2.0 * (side as f64).powi(3) / seconds.median,
    })
}

/// Has the device do the same `n` times, each time by a kernel of its own, and waits for a value of the last.
fn each<const D: usize>(
    device: &Device,
    n: usize,
    work: impl Fn() -> Tensor<D>,
) -> Result<(), String> {
    let mut last = None;
    for _ in 0..n {
        last = Some(work());
        // Else a backend that joins kernels would do all at once.
        device.flush().map_err(|error| error.to_string())?;
    }
    last.map_or(Ok(()), read_one)
}

fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}
