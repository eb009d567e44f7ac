//! Why a device cannot be used, and what to do about it.

/// Oldest driver that is used, as NVIDIA numbers its releases.
pub const OLDEST_DRIVER: &str = "535.129";

/// Why a device cannot be used: what was found, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Not the name of a device.
    #[error(
        "{0:?} is no device; choose auto, cpu, cuda, cuda:N, wgpu or wgpu:N, as `glyph devices` lists them"
    )]
    Unknown(String),
    /// Not the name of a number type.
    #[error("{0:?} is no number type; choose auto, f32, f16 or bf16")]
    UnknownDtype(String),
    /// The build lacks CUDA.
    #[error(
        "this build has no CUDA. Build glyph with `cargo build --release -p glyph-cli --features cuda` (glyph-train with \
         `-p glyph-train`), or choose wgpu or cpu"
    )]
    CudaNotBuilt,
    /// The driver's library is not there.
    #[error(
        "no NVIDIA driver is installed: its library libcuda (nvcuda on Windows) cannot be loaded. Install NVIDIA's \
         driver, {} or newer; in a container, start it with the GPUs (docker run --gpus all)",
        OLDEST_DRIVER
    )]
    CudaNoDriver,
    /// The driver is older than what the kernels are compiled for.
    #[error(
        "the NVIDIA driver is too old: {found} is installed and {} (CUDA 12.2) or newer is needed. Install a \
         newer driver, or choose wgpu or cpu",
        OLDEST_DRIVER
    )]
    CudaDriverTooOld {
        /// Release, CUDA version, or both.
        found: String,
    },
    /// The driver does not start.
    #[error(
        "the NVIDIA driver does not start: {reason}. Check it with nvidia-smi; after an update of the driver, restart \
         the machine"
    )]
    CudaInit {
        /// The driver's name for the error.
        reason: String,
    },
    /// The driver sees no GPU.
    #[error(
        "the NVIDIA driver finds no GPU. Check it with nvidia-smi, that CUDA_VISIBLE_DEVICES does not hide the GPU, \
         and in a container that it was started with the GPUs (docker run --gpus all)"
    )]
    CudaNoGpu,
    /// A number beyond the last GPU.
    #[error(
        "there is no cuda:{index}: CUDA sees {n_gpus} GPU(s), numbered from 0. `glyph devices` lists them"
    )]
    CudaIndex {
        /// The number that was asked for.
        index: usize,
        /// GPUs that there are.
        n_gpus: usize,
    },
    /// The GPU refuses a context.
    #[error(
        "cuda:{index} ({name}) cannot be opened: {reason}. Check with nvidia-smi whether another program has it"
    )]
    CudaOpen {
        /// Its number.
        index: usize,
        /// Its name.
        name: String,
        /// The driver's name for the error.
        reason: String,
    },
    /// A GPU that tells nothing of itself.
    #[error(
        "cuda:{index} does not answer: {reason}. Check it with nvidia-smi; a GPU that was lost comes back when the \
         machine is restarted"
    )]
    CudaNoAnswer {
        /// Its number.
        index: usize,
        /// The driver's name for the error.
        reason: String,
    },
    /// A GPU that was set to let nobody compute.
    #[error(
        "cuda:{index} ({name}) is set to let no program compute. `nvidia-smi --compute-mode=DEFAULT`, by root, with \
         --id for one GPU of several, allows it"
    )]
    CudaProhibited {
        /// Its number.
        index: usize,
        /// Its name.
        name: String,
    },
    /// The compiler of kernels is not there.
    #[error(
        "NVRTC, which compiles the kernels, cannot be loaded: {library} is not on the library path. Install the CUDA \
         toolkit 12, or its packages cuda-nvrtc and cuda-cudart-dev, or take a -devel image; then set LD_LIBRARY_PATH \
         (PATH on Windows) where it is not found by itself"
    )]
    NvrtcMissing {
        /// File name of the library.
        library: &'static str,
    },
    /// The compiler of kernels does not answer, or is older than the GPU or newer than the driver.
    #[error("NVRTC {version}, which compiles the kernels, cannot be used: {reason}")]
    NvrtcUnusable {
        /// Its version.
        version: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The headers that kernels include are not there.
    #[error(
        "the CUDA headers are not there: {missing} is missing from {searched}. Install the CUDA toolkit, or its \
         packages cuda-cudart-dev, cuda-nvcc and cuda-cccl, or take a -devel image, and set CUDA_PATH to its directory"
    )]
    CudaHeaders {
        /// The first header that is missing.
        missing: String,
        /// Where it was looked for.
        searched: String,
    },
    /// No adapter at all.
    #[error(
        "wgpu finds no adapter of Vulkan, Metal, DX12 or OpenGL. Install the GPU's Vulkan driver (on Debian \
         mesa-vulkan-drivers, with which a CPU serves too), or choose cpu"
    )]
    WgpuNoAdapter,
    /// A number beyond the last adapter.
    #[error(
        "there is no wgpu:{index}: wgpu finds {n_adapters} adapter(s), numbered from 0. `glyph devices` lists them"
    )]
    WgpuIndex {
        /// The number that was asked for.
        index: usize,
        /// Adapters that there are.
        n_adapters: usize,
    },
    /// An adapter that cannot compute.
    #[error("wgpu:{index} ({name}) cannot run compute shaders. Choose another adapter, or cpu")]
    WgpuNoCompute {
        /// Its number.
        index: usize,
        /// Its name.
        name: String,
    },
    /// An adapter of a kind that the runtime of the kernels cannot be asked for.
    #[error(
        "wgpu:{index} ({name}) cannot be used: {interface} does not say what kind of device it is, and the kernels \
         run on known kinds alone. Install its Vulkan driver, or choose another device"
    )]
    WgpuUnknownKind {
        /// Its number.
        index: usize,
        /// Its name.
        name: String,
        /// What it is reached by.
        interface: &'static str,
    },
    /// An adapter that gives no device.
    #[error(
        "wgpu:{index} ({name}) cannot be opened: {reason}. Check its driver, and what this process may take of memory \
         and threads (ulimit -a), or choose another device"
    )]
    WgpuOpen {
        /// Its number.
        index: usize,
        /// Its name.
        name: String,
        /// wgpu's answer.
        reason: String,
    },
    /// A device without the memory that something takes.
    #[error(
        "{device} ({description}) has no memory left: {reason}. Close what uses it, choose a smaller model or \
         --quantize q4, ask for a shorter answer or about fewer pages, or choose another device"
    )]
    OutOfMemory {
        /// Name of the device.
        device: String,
        /// Which one it is.
        description: String,
        /// What the backend says.
        reason: String,
    },
    /// Work that a device did not do.
    #[error(
        "{device} ({description}) broke off: {reason}. Try it again, and with another device where it breaks off each time"
    )]
    BrokeOff {
        /// Name of the device.
        device: String,
        /// Which one it is.
        description: String,
        /// What the backend says.
        reason: String,
    },
    /// A number type that the device does not compute in.
    #[error("{device} ({description}) does not compute in {dtype}: it has {}. Choose one of them, or auto", .supported.join(", "))]
    Dtype {
        /// Name of the device.
        device: String,
        /// Which one it is.
        description: String,
        /// The type that was asked for.
        dtype: &'static str,
        /// The types that it has.
        supported: Vec<&'static str>,
    },
    /// A tensor that the device has no buffer for.
    #[error(
        "{tensor} takes {n_bytes} bytes and a buffer of {device} ({description}) holds {most_bytes}. Choose {}",
        or_another_device(.remedies)
    )]
    TensorTooLarge {
        /// Name of the device.
        device: String,
        /// Which one it is.
        description: String,
        /// The tensor.
        tensor: String,
        /// What it takes.
        n_bytes: u64,
        /// The most that a buffer holds.
        most_bytes: u64,
        /// What would make the tensor smaller.
        remedies: Vec<&'static str>,
    },
    /// A tensor of a request that the device has no buffer for.
    #[error(
        "{tensor} take {n_bytes} bytes in one buffer, and a buffer of {device} ({description}) holds {most_bytes}. Ask \
         for a shorter answer or about fewer pages, choose a smaller --dtype, or another device"
    )]
    RequestTooLarge {
        /// Name of the device.
        device: String,
        /// Which one it is.
        description: String,
        /// The tensor, and how many tokens it is for.
        tensor: String,
        /// What it takes.
        n_bytes: u64,
        /// The most that a buffer holds.
        most_bytes: u64,
    },
}

fn or_another_device(remedies: &[&str]) -> String {
    match remedies {
        [] => "another device".to_owned(),
        remedies => format!("{} or another device", remedies.join(", ")),
    }
}

/// Whether a backend, a driver or the system says that memory ran out, in any of their spellings.
fn lacks_memory(reason: &str) -> bool {
    const SAID: [&str; 5] = [
        "outofmemory",
        "outofdevicememory",
        "outofhostmemory",
        "notenoughmemory",
        "cannotallocatememory",
    ];
    let letters = reason.chars().filter(char::is_ascii_alphanumeric);
    let letters: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    SAID.iter().any(|said| letters.contains(said))
}

/// A backend's words as a part of a sentence: without the trace behind the first line, and without its full stop.
fn in_a_sentence(reason: &str) -> String {
    let mut lines = reason.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    line.trim_end_matches('.').to_owned()
}

impl DeviceError {
    /// Of an adapter that gives no device, by what wgpu or the driver says.
    pub(crate) fn wgpu_open(index: usize, name: &str, reason: &str) -> Self {
        let name = name.to_owned();
        if lacks_memory(reason) {
            return Self::OutOfMemory {
                device: format!("wgpu:{index}"),
                description: name,
                reason: in_a_sentence(reason),
            };
        }
        Self::WgpuOpen {
            index,
            name,
            reason: in_a_sentence(reason),
        }
    }

    /// Of work that a device did not do, by what its backend says.
    pub(crate) fn of_work(device: &str, description: &str, reason: &str) -> Self {
        let (device, description) = (device.to_owned(), description.to_owned());
        let is_memory = lacks_memory(reason);
        let reason = in_a_sentence(reason);
        match is_memory {
            true => Self::OutOfMemory {
                device,
                description,
                reason,
            },
            false => Self::BrokeOff {
                device,
                description,
                reason,
            },
        }
    }

    /// What is the matter, in a few words, for the line that says why another device was chosen.
    pub fn in_short(&self) -> String {
        match self {
            Self::CudaNotBuilt => "this build has no CUDA".to_owned(),
            Self::CudaNoDriver => "there is no NVIDIA driver".to_owned(),
            Self::CudaDriverTooOld { found } => format!("the NVIDIA driver {found} is too old"),
            Self::CudaInit { reason } => format!("the NVIDIA driver does not start ({reason})"),
            Self::CudaNoGpu => "the NVIDIA driver finds no GPU".to_owned(),
            Self::CudaOpen { reason, .. } => format!("cuda:0 cannot be opened ({reason})"),
            Self::CudaNoAnswer { index, reason } => {
                format!("cuda:{index} does not answer ({reason})")
            }
            Self::CudaProhibited { index, .. } => {
                format!("cuda:{index} is set to let no program compute")
            }
            Self::NvrtcMissing { .. } => "CUDA lacks NVRTC".to_owned(),
            Self::NvrtcUnusable { version, .. } => format!("NVRTC {version} cannot be used"),
            Self::CudaHeaders { .. } => "CUDA lacks its headers".to_owned(),
            Self::WgpuNoAdapter => "wgpu finds no adapter".to_owned(),
            Self::WgpuNoCompute { name, .. } => format!("{name} cannot compute by wgpu"),
            Self::WgpuUnknownKind {
                name, interface, ..
            } => format!("{name}, reached by {interface}, is of no kind that wgpu knows"),
            Self::WgpuOpen { name, .. } => format!("{name} cannot be opened by wgpu"),
            Self::OutOfMemory { description, .. } => format!("{description} has no memory left"),
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceError;

    #[test]
    fn what_ran_out_of_memory_is_told_apart_and_gets_a_remedy_of_its_own() {
        for reason in [
            "Unable to request a wgpu device: Not enough memory left.",
            "called `Result::unwrap()` on an `Err` value: OutOfMemory",
            "wgpu error: Out of Memory",
            "CUDA_ERROR_OUT_OF_MEMORY",
            "out of device memory allocating 4096 bytes\n   0: a frame\n   1: another",
            "ERROR_OUT_OF_HOST_MEMORY",
            "Cannot allocate memory (os error 12)",
        ] {
            let opening = DeviceError::wgpu_open(0, "a GPU", reason);
            let work = DeviceError::of_work("wgpu:0", "a GPU", reason);
            assert_eq!(opening, work, "{reason}");
            assert!(
                matches!(opening, DeviceError::OutOfMemory { .. }),
                "{reason}"
            );
            let message = work.to_string();
            for part in [
                "wgpu:0 (a GPU)",
                "smaller model",
                "--quantize q4",
                "another device",
            ] {
                assert!(message.contains(part), "no {part} in {message}");
            }
            assert!(!message.contains("driver"), "{message}");
            assert!(
                !message.contains("..") && !message.contains('\n'),
                "{message}"
            );
            assert_eq!(work.in_short(), "a GPU has no memory left");
        }
    }

    #[test]
    fn other_failures_keep_theirs() {
        let lost = "the device was lost.";
        let opening = DeviceError::wgpu_open(1, "a GPU", lost).to_string();
        let start = "wgpu:1 (a GPU) cannot be opened: the device was lost. Check its driver";
        assert!(opening.starts_with(start), "{opening}");
        let work = DeviceError::of_work("cpu", "a CPU", "index out of bounds").to_string();
        let start = "cpu (a CPU) broke off: index out of bounds. Try it again";
        assert!(work.starts_with(start), "{work}");
    }
}
