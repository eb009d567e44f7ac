//! What the device itself reaches: how fast it copies, how fast it multiplies large matrices.

use burn::tensor::{DType, Device, Distribution, Tensor};
use glyph_device::OpenDevice;

use super::report::{CopyRate, MatmulRate};
use super::steps::read_one;
use super::timing::measure;

/// How much a device is given to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    /// Bytes that are copied, beyond every cache.
    copy_bytes: usize,
    /// Copies of a run.
    n_copies: usize,
    /// Side of the square matrices.
    side: usize,
    /// Products of a run.
    n_products: usize,
}

const GPU: Work = Work {
    copy_bytes: 1 << 30,
    n_copies: 16,
    side: 8192,
    n_products: 8,
};

const CPU: Work = Work {
    copy_bytes: 1 << 28,
    n_copies: 4,
    side: 2048,
    n_products: 1,
};

/// A GPU's kernels on a CPU, many times slower than the CPU's own.
const SOFTWARE: Work = Work { side: 1024, ..CPU };

impl Work {
    /// What suits a device, halved until a tensor of it fits a buffer of the device.
    fn of(device: &OpenDevice, dtype: DType) -> Self {
        let mut work = match device {
            device if device.is_cpu() => CPU,
            device if device.is_software => SOFTWARE,
            _ => GPU,
        };
        let most_bytes = device.most_buffer_bytes.unwrap_or(u64::MAX);
        while work.copy_bytes as u64 > most_bytes {
            work.copy_bytes /= 2;
        }
        while (work.side * work.side * dtype.size()) as u64 > most_bytes {
            work.side /= 2;
        }
        work
    }
}

/// Bytes read and written a second when a large tensor is copied by a kernel that does next to nothing else.
pub fn copy(opened: &OpenDevice, repeat: usize) -> Result<CopyRate, String> {
    let device = &opened.device;
    let work = Work::of(opened, DType::F32);
    let n_bytes = work.copy_bytes;
    let x = Tensor::<1>::full([n_bytes / size_of::<f32>()], 1.0, (device, DType::F32));
    let seconds = measure(device, repeat, || {
        each(device, work.n_copies, || x.clone().add_scalar(1.0))
    })?
    .per(work.n_copies);
    Ok(CopyRate {
        bytes: n_bytes as u64,
        seconds,
        bytes_per_s: 2.0 * n_bytes as f64 / seconds.median,
    })
}

/// Operations a second in a product of two large matrices, the right one transposed as weights are.
pub fn matmul(opened: &OpenDevice, dtype: DType, repeat: usize) -> Result<MatmulRate, String> {
    let device = &opened.device;
    let Work {
        side, n_products, ..
    } = Work::of(opened, dtype);
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

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use glyph_device::{Backend, DeviceChoice, OpenDevice};

    use super::{CPU, GPU, SOFTWARE, Work};

    #[test]
    fn work_suits_the_device_and_fits_its_buffers() {
        let cpu = glyph_device::open(DeviceChoice::Cpu).unwrap();
        assert_eq!(Work::of(&cpu, DType::F32), CPU);
        let gpu = OpenDevice {
            backend: Backend::Wgpu,
            ..cpu
        };
        assert_eq!(Work::of(&gpu, DType::F32), GPU);
        let software = OpenDevice {
            is_software: true,
            ..gpu.clone()
        };
        assert_eq!(Work::of(&software, DType::F32), SOFTWARE);
        // The least that wgpu asks of an adapter: 128 MiB.
        let small = OpenDevice {
            most_buffer_bytes: Some(128 << 20),
            ..gpu
        };
        for (dtype, side) in [(DType::F32, 4096), (DType::F16, 8192)] {
            let work = Work::of(&small, dtype);
            assert_eq!((work.copy_bytes, work.side), (128 << 20, side), "{dtype:?}");
        }
    }
}
