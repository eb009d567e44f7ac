//! What the device itself reaches: how fast it copies, how fast it multiplies large matrices. Of several runs the best
//! counts: whatever else went on meanwhile makes a ceiling lower than it is.

use std::hint::black_box;

use burn::tensor::{DType, Device, Distribution, Tensor};
use glyph_device::OpenDevice;

use super::peer::n_threads;
use super::report::{CopyRate, MatmulRate};
use super::steps::read_one;
use super::timing::measure;

/// Runs that a ceiling is the best of, at the least.
const LEAST_RUNS: usize = 5;

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

/// Bytes read and written a second when far more is copied than caches hold. A GPU does it by a kernel that does next to
/// nothing else, into memory that its allocator has; a CPU by all threads, between two buffers that stay, since getting
/// memory of the system takes longer than the copy.
pub fn copy(opened: &OpenDevice, repeat: usize) -> Result<CopyRate, String> {
    let device = &opened.device;
    let work = Work::of(opened, DType::F32);
    let n_bytes = work.copy_bytes;
    let n_runs = repeat.max(LEAST_RUNS);
    let timed = if opened.is_cpu() {
        let (source, mut target) = (vec![1_u8; n_bytes], vec![0_u8; n_bytes]);
        let n_threads = n_threads();
        measure(device, n_runs, || {
            for _ in 0..work.n_copies {
                copy_by_threads(&source, black_box(&mut target), n_threads);
            }
            Ok(())
        })
    } else {
        let x = Tensor::<1>::full([n_bytes / size_of::<f32>()], 1.0, (device, DType::F32));
        measure(device, n_runs, || {
            each(device, work.n_copies, || x.clone().add_scalar(1.0))
        })
    };
    let seconds = timed?.per(work.n_copies);
    Ok(CopyRate {
        bytes: n_bytes as u64,
        seconds,
        bytes_per_s: 2.0 * n_bytes as f64 / seconds.least,
    })
}

/// Copies a buffer into another of its length, a part by each thread.
fn copy_by_threads(source: &[u8], target: &mut [u8], n_threads: usize) {
    let part = source.len().div_ceil(n_threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for (from, to) in source.chunks(part).zip(target.chunks_mut(part)) {
            scope.spawn(move || to.copy_from_slice(from));
        }
    });
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
    let seconds = measure(device, repeat.max(LEAST_RUNS), || {
        let product = || a.clone().matmul(b.clone().transpose());
        each(device, n_products, product)
    })?
    .per(n_products);
    Ok(MatmulRate {
        side,
        seconds,
        flops_per_s: 2.0 * (side as f64).powi(3) / seconds.least,
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

    use super::{CPU, GPU, LEAST_RUNS, SOFTWARE, Work, copy_by_threads, matmul};

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

    #[test]
    fn all_is_copied_by_however_many_threads() {
        let source: Vec<u8> = (0..1000).map(|i| (i % 251) as u8).collect();
        for n_threads in [0, 1, 3, 7, 2000] {
            let mut target = vec![0; source.len()];
            copy_by_threads(&source, &mut target, n_threads);
            assert_eq!(target, source, "{n_threads}");
        }
        copy_by_threads(&[], &mut [], 2);
    }

    #[test]
    fn the_best_run_counts() {
        let cpu = glyph_device::open(DeviceChoice::Cpu).unwrap();
        let small = OpenDevice {
            most_buffer_bytes: Some(1 << 16),
            ..cpu
        };
        let rate = matmul(&small, DType::F32, 1).unwrap();
        assert_eq!(rate.side, 128);
        assert!(
            rate.seconds.least < rate.seconds.most,
            "of {LEAST_RUNS} runs"
        );
        let flops = 2.0 * 128.0_f64.powi(3);
        assert_eq!(rate.flops_per_s, flops / rate.seconds.least);
    }
}
