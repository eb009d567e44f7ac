//! What is held against the driver, the compiler of kernels and its headers, apart from asking them.

use std::path::Path;

use crate::error::{DeviceError, OLDEST_DRIVER};

/// A version of CUDA as the driver says it: 12020 is 12.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion(pub i32);

impl CudaVersion {
    /// From its two parts.
    pub fn new(major: i32, minor: i32) -> Self {
        Self(major * 1000 + minor * 10)
    }
}

impl std::fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// Who may compute on a GPU, as it was set by its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputeMode {
    /// Every program.
    Shared,
    /// One at a time.
    Exclusive,
    /// None.
    Prohibited,
}

impl ComputeMode {
    /// From the driver's number; 1 was one thread of one program, until CUDA 8.
    pub fn of(number: i32) -> Self {
        match number {
            1 | 3 => Self::Exclusive,
            2 => Self::Prohibited,
            _ => Self::Shared,
        }
    }
}

/// What the oldest driver that is used says.
const OLDEST_CUDA: CudaVersion = CudaVersion(12_020);

/// The oldest compiler that is asked for anything: older ones lack some of what it is asked.
const OLDEST_NVRTC: CudaVersion = CudaVersion(12_000);

/// Headers that kernels include: each by its path below `include`, or by a second one that newer toolkits have.
const HEADERS: [(&str, &str); 5] = [
    ("cuda_fp16.h", "cuda_fp16.h"),
    ("cuda_bf16.h", "cuda_bf16.h"),
    ("mma.h", "mma.h"),
    ("cooperative_groups.h", "cooperative_groups.h"),
    ("cuda/barrier", "cccl/cuda/barrier"),
];

/// Driver's release and CUDA version as reports show them.
pub fn driver_name(release: Option<&str>, cuda: CudaVersion) -> String {
    match release {
        Some(release) => format!("{release} (CUDA {cuda})"),
        None => format!("CUDA {cuda}"),
    }
}

/// Refuses a driver that is too old. Of two of the oldest CUDA version the release decides, where it is known.
pub fn check_driver(release: Option<&str>, cuda: CudaVersion) -> Result<(), DeviceError> {
    let is_too_old = cuda < OLDEST_CUDA
        || cuda == OLDEST_CUDA
            && release.is_some_and(|release| numbers(release) < numbers(OLDEST_DRIVER));
    if is_too_old {
        return Err(DeviceError::CudaDriverTooOld {
            found: driver_name(release, cuda),
        });
    }
    Ok(())
}

fn numbers(release: &str) -> Vec<u32> {
    let parts = release.split('.');
    parts.map(|part| part.parse().unwrap_or(0)).collect()
}

/// Refuses a compiler that is too old to be asked for what it compiles for.
pub fn check_nvrtc_age(nvrtc: CudaVersion) -> Result<(), DeviceError> {
    if nvrtc < OLDEST_NVRTC {
        return Err(DeviceError::NvrtcUnusable {
            version: nvrtc.to_string(),
            reason: format!(
                "it is older than {OLDEST_NVRTC}. Install a newer CUDA toolkit, or choose wgpu"
            ),
        });
    }
    Ok(())
}

/// Refuses a compiler that makes no code for the GPU, or code that the driver does not read.
pub fn check_nvrtc(
    nvrtc: CudaVersion,
    driver: CudaVersion,
    architectures: &[i32],
    (gpu, capability): (&str, i32),
) -> Result<(), DeviceError> {
    let unusable = |reason: String| {
        Err(DeviceError::NvrtcUnusable {
            version: nvrtc.to_string(),
            reason,
        })
    };
    if nvrtc > driver {
        return unusable(format!(
            "it is newer than the driver, which reads the code of CUDA {driver} and older. Install a newer driver, \
             or the CUDA toolkit {driver}"
        ));
    }
    if !architectures.contains(&capability) {
        return unusable(format!(
            "it does not compile for the {gpu}, whose compute capability is {}.{}. Install another CUDA toolkit, or \
             choose wgpu",
            capability / 10,
            capability % 10
        ));
    }
    Ok(())
}

/// Refuses a toolkit without the headers that kernels include.
pub fn check_headers(toolkit: Option<&Path>) -> Result<(), DeviceError> {
    let include = toolkit.map(|toolkit| toolkit.join("include"));
    let is_there = |header: &str| {
        let path = include.as_ref().map(|include| include.join(header));
        path.as_deref().is_some_and(Path::is_file)
    };
    let missing = HEADERS
        .iter()
        .find(|(header, other)| !is_there(header) && !is_there(other));
    let Some((header, _)) = missing else {
        return Ok(());
    };
    Err(DeviceError::CudaHeaders {
        missing: (*header).to_owned(),
        searched: match include {
            Some(include) => include.display().to_string(),
            None => "CUDA_PATH, /usr/local/cuda and /opt/cuda, none of which is there".to_owned(),
        },
    })
}

/// What the kernels of a GPU are kept under: a driver reads the code of a compiler that is not newer than itself, so
/// those of a newer one must not be found once both were taken back.
pub fn kernel_store(gpu: &str, nvrtc: CudaVersion) -> String {
    format!("cuda {gpu} NVRTC {nvrtc}")
}

/// A GPU's UUID as NVML writes it.
pub fn uuid_name(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    format!("GPU-{}", parts.join("-"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{
        ComputeMode, CudaVersion, check_driver, check_headers, check_nvrtc, check_nvrtc_age,
        driver_name, kernel_store, uuid_name,
    };

    /// A directory with some headers, kept for as long as the first part lives.
    fn toolkit_with(headers: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        for header in headers {
            let path = directory.path().join("include").join(header);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let path = directory.path().to_owned();
        (directory, path)
    }

    #[test]
    fn versions_are_written_as_nvidia_writes_them() {
        assert_eq!(CudaVersion(12_020).to_string(), "12.2");
        assert_eq!(CudaVersion::new(13, 0), CudaVersion(13_000));
        assert_eq!(
            driver_name(Some("570.86.15"), CudaVersion(12_080)),
            "570.86.15 (CUDA 12.8)"
        );
    }

    #[test]
    fn drivers_older_than_535_129_are_refused_with_what_is_needed() {
        for (release, cuda) in [
            (Some("470.256.02"), 11_040),
            (None, 12_010),
            (Some("535.104.05"), 12_020),
            (Some("535.54"), 12_020),
        ] {
            let error = check_driver(release, CudaVersion(cuda))
                .unwrap_err()
                .to_string();
            assert!(error.contains("535.129"), "{error}");
            assert!(error.contains(release.unwrap_or("12.1")), "{error}");
        }
        for (release, cuda) in [
            (Some("535.129.03"), 12_020),
            (None, 12_020),
            (Some("550.54"), 12_040),
            (Some("580.1"), 13_000),
        ] {
            assert_eq!(
                check_driver(release, CudaVersion(cuda)),
                Ok(()),
                "{release:?}"
            );
        }
    }

    #[test]
    fn a_compiler_must_not_be_too_old() {
        assert_eq!(check_nvrtc_age(CudaVersion::new(12, 0)), Ok(()));
        for (major, minor) in [(9, 0), (10, 2), (11, 8)] {
            let error = check_nvrtc_age(CudaVersion::new(major, minor));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(&format!("{major}.{minor}")), "{error}");
            assert!(error.contains("12.0"), "{error}");
        }
    }

    #[test]
    fn a_compiler_must_fit_between_driver_and_gpu() {
        let (v12_4, v12_8) = (CudaVersion::new(12, 4), CudaVersion::new(12, 8));
        let gpu = ("NVIDIA H200", 90);
        assert_eq!(check_nvrtc(v12_4, v12_8, &[80, 90], gpu), Ok(()));
        let new = check_nvrtc(v12_8, v12_4, &[80, 90], gpu)
            .unwrap_err()
            .to_string();
        assert!(
            new.contains("12.8") && new.contains("driver") && new.contains("12.4"),
            "{new}"
        );
        let old = check_nvrtc(v12_4, v12_8, &[80, 89], gpu)
            .unwrap_err()
            .to_string();
        assert!(old.contains("NVIDIA H200") && old.contains("9.0"), "{old}");
    }

    #[test]
    fn headers_are_missed_by_name() {
        let all = [
            "cuda_fp16.h",
            "cuda_bf16.h",
            "mma.h",
            "cooperative_groups.h",
        ];
        for barrier in ["cuda/barrier", "cccl/cuda/barrier"] {
            let (_directory, toolkit) = toolkit_with(&[&all[..], &[barrier]].concat());
            assert_eq!(check_headers(Some(&toolkit)), Ok(()));
        }
        let (_directory, toolkit) = toolkit_with(&all);
        let error = check_headers(Some(&toolkit)).unwrap_err().to_string();
        let include = toolkit.join("include").display().to_string();
        for part in ["cuda/barrier", &include, "CUDA_PATH"] {
            assert!(error.contains(part), "no {part} in {error}");
        }
        let error = check_headers(None).unwrap_err().to_string();
        assert!(error.contains("/usr/local/cuda"), "{error}");
    }

    #[test]
    fn kernels_of_another_compiler_or_gpu_are_kept_apart() {
        let v12_4 = CudaVersion::new(12, 4);
        let store = kernel_store("NVIDIA H200", v12_4);
        assert_ne!(kernel_store("NVIDIA H200", CudaVersion::new(12, 8)), store);
        assert_ne!(kernel_store("NVIDIA H100", v12_4), store);
        assert_eq!(kernel_store("NVIDIA H200", v12_4), store);
    }

    #[test]
    fn a_gpu_is_for_all_for_one_or_for_none() {
        use ComputeMode::{Exclusive, Prohibited, Shared};
        let modes = [0, 1, 2, 3].map(ComputeMode::of);
        assert_eq!(modes, [Shared, Exclusive, Prohibited, Exclusive]);
    }

    #[test]
    fn a_uuid_is_written_as_nvml_writes_it() {
        let bytes = std::array::from_fn(|i| i as u8 * 17);
        assert_eq!(uuid_name(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }
}
