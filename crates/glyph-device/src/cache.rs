//! Where compiled kernels and what was measured of them are kept, so that a second run need not do it again. By wgpu the
//! driver compiles kernels, and whether compiled ones are kept is the driver's affair.

use std::path::PathBuf;

use cubecl::config::autotune::AutotuneLevel;
use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use cubecl::records::RecordLevel;
use etcetera::BaseStrategy;

use crate::report::Backend;

/// Set by a person, it names another store than that of version and device.
const STORE_VARIABLE: &str = "CUBECL_ENVIRONMENT";

/// Directory of the stores: in the user's cache directory, or, for a user without one, in that for temporary files.
pub fn directory() -> PathBuf {
    let cache = etcetera::choose_base_strategy().map(|strategy| strategy.cache_dir());
    cache
        .unwrap_or_else(|_| std::env::temp_dir())
        .join("glyph-runtime")
        .join("kernels")
}

/// What is kept in the store of a device from one run to the next, in a few words; `None` where nothing is.
pub fn kept(backend: Backend) -> Option<&'static str> {
    let is_measured = cfg!(feature = "autotune");
    match backend {
        Backend::Cuda if is_measured => Some("compiled kernels and their times"),
        Backend::Cuda => Some("compiled kernels"),
        Backend::Wgpu if is_measured => Some("times of kernels"),
        Backend::Wgpu | Backend::Cpu => None,
    }
}

/// Name of the store of a device: other versions have other kernels, and other devices other times.
fn store(device: &str) -> String {
    format!("{} {device}", env!("CARGO_PKG_VERSION"))
}

/// Points the store to the user's cache directory and to the device. It must come before the device's first use, after
/// which the settings are fixed; a second device then only takes a store of its own.
///
/// A build with the feature `autotune` tries as few kernels as possible on a software adapter, where each trial costs
/// seconds. Variables of the environment that the compiler of kernels knows (`CUBECL_…`) go before what is set here; files in the working
/// directory are not read.
pub fn configure(device: &str, backend: Backend, is_software: bool) {
    let directory = directory();
    if kept(backend).is_some() {
        // Where it cannot be made the store stays in memory, and the next run compiles and measures again.
        drop(std::fs::create_dir_all(&directory));
    }
    let mut config = CubeClRuntimeConfig::default();
    config.environment.name = store(device);
    config.environment.path = CacheConfig::Directory(directory);
    // Kernels alone, no account of the runs that made them.
    config.environment.records.level = RecordLevel::Off;
    config.compilation.cache = true;
    if is_software {
        config.autotune.level = AutotuneLevel::Minimal;
        config.autotune.bench.min_samples = 1;
        config.autotune.bench.max_samples = 1;
        config.autotune.bench.short_circuit_samples = 1;
    }
    let is_first = CubeClRuntimeConfig::try_set(config.override_from_env());
    if !is_first && std::env::var_os(STORE_VARIABLE).is_none() {
        activate(&store(device));
    }
}

/// Takes another store, unless it is the one in use: changing it makes all kernels be loaded anew.
fn activate(store: &str) {
    let before = cubecl::environment::path();
    let file = cubecl::environment::file_name(store);
    if before.file_name().is_none_or(|name| name != file.as_str()) {
        cubecl::environment::activate(store);
    }
}

#[cfg(test)]
mod tests {
    use super::{directory, kept, store};
    use crate::report::Backend;

    #[test]
    fn a_store_is_of_a_version_and_a_device() {
        assert!(directory().ends_with("glyph-runtime/kernels"));
        assert_ne!(store("wgpu a"), store("wgpu b"));
        assert!(store("wgpu a").starts_with(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn compiled_kernels_are_kept_of_cuda_alone_and_times_where_they_are_measured() {
        let says = |backend: Backend, what: &str| kept(backend).is_some_and(|it| it.contains(what));
        let is_measured = cfg!(feature = "autotune");
        assert_eq!(kept(Backend::Cpu), None);
        assert!(says(Backend::Cuda, "compiled") && !says(Backend::Wgpu, "compiled"));
        for backend in [Backend::Cuda, Backend::Wgpu] {
            assert_eq!(says(backend, "times"), is_measured);
        }
    }
}
