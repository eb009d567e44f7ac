//! Adapters of Vulkan, Metal, DX12 and OpenGL by wgpu.

use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::wgpu::wgpu;
use burn::tensor::{Device, DeviceKind};
use futures_lite::future::block_on;

use crate::dtype::Dtypes;
use crate::error::DeviceError;
use crate::guard::guarded;
use crate::open::{DeviceMemory, OpenDevice};
use crate::report::{Backend, DeviceReport};
use crate::{cache, cpu, nvml};

/// The interfaces in the order in which burn asks them. The first that has a GPU is taken, else the first with any
/// adapter, and all adapters are then of it.
const INTERFACES: &[wgpu::Backend] = if cfg!(target_os = "macos") {
    &[wgpu::Backend::Metal]
} else {
    &[
        wgpu::Backend::Vulkan,
        wgpu::Backend::Dx12,
        wgpu::Backend::Gl,
    ]
};

/// NVIDIA's and AMD's numbers on the bus.
const NVIDIA: u32 = 0x10DE;
const AMD: u32 = 0x1002;

/// An adapter, and the name that burn has for it, if any.
#[derive(Debug, Clone)]
struct Adapter {
    index: usize,
    kind: Option<DeviceKind>,
    info: wgpu::AdapterInfo,
    dtypes: Dtypes,
    most_buffer_bytes: u64,
    can_compute: bool,
}

impl Adapter {
    fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// The better, the smaller.
    fn rank(&self) -> u8 {
        match self.kind {
            Some(DeviceKind::DiscreteGpu(_)) => 0,
            Some(DeviceKind::IntegratedGpu(_)) => 1,
            Some(DeviceKind::VirtualGpu(_)) => 2,
            Some(DeviceKind::Cpu) => 3,
            _ => 4,
        }
    }

    fn interface(&self) -> &'static str {
        match self.info.backend {
            wgpu::Backend::Vulkan => "Vulkan",
            wgpu::Backend::Metal => "Metal",
            wgpu::Backend::Dx12 => "DX12",
            wgpu::Backend::Gl => "OpenGL",
            _ => "WebGPU",
        }
    }

    fn driver(&self) -> String {
        let parts = [&self.info.driver, &self.info.driver_info];
        let said: Vec<&str> = parts
            .into_iter()
            .map(|part| part.trim())
            .filter(|part| !part.is_empty())
            .collect();
        let interface = self.interface();
        match said.is_empty() {
            true => interface.to_owned(),
            false => format!("{} ({interface})", said.join(" ")),
        }
    }

    /// Its memory where somebody says: wgpu does not.
    fn memory(&self) -> Option<DeviceMemory> {
        match (&self.kind, self.info.vendor) {
            // They share the machine's.
            (Some(DeviceKind::Cpu | DeviceKind::IntegratedGpu(_)), _) => cpu::memory(),
            (_, NVIDIA) => nvidia_memory(&self.info.device_pci_bus_id),
            (_, AMD) => amd_memory(&self.info.device_pci_bus_id),
            _ => None,
        }
    }

    /// Burn's name for it, if it can be used.
    fn usable_kind(&self) -> Result<&DeviceKind, DeviceError> {
        let (index, name) = (self.index, self.info.name.clone());
        match &self.kind {
            None => Err(DeviceError::WgpuUnknownKind {
                index,
                name,
                interface: self.interface(),
            }),
            Some(_) if !self.can_compute => Err(DeviceError::WgpuNoCompute { index, name }),
            Some(kind) => Ok(kind),
        }
    }

    fn report(&self) -> DeviceReport {
        let memory = self.memory();
        DeviceReport {
            name: format!("wgpu:{}", self.index),
            backend: Backend::Wgpu,
            description: self.info.name.clone(),
            is_software: self.is_software(),
            is_exclusive: false,
            total_bytes: memory.map(|memory| memory.total_bytes),
            free_bytes: memory.map(|memory| memory.free_bytes),
            driver: Some(self.driver()),
            dtypes: self.dtypes.names(),
            problem: self.usable_kind().err().map(|error| error.to_string()),
        }
    }

    fn open(&self) -> Result<OpenDevice, DeviceError> {
        let kind = self.usable_kind()?;
        Ok(OpenDevice {
            name: format!("wgpu:{}", self.index),
            backend: Backend::Wgpu,
            description: self.info.name.clone(),
            is_software: self.is_software(),
            driver: Some(self.driver()),
            reason: None,
            device: self.device(kind)?,
            dtypes: self.dtypes,
            memory: self.memory(),
            most_buffer_bytes: Some(self.most_buffer_bytes),
        })
    }

    /// burn's device; started when it is asked for the first time, so that what goes wrong then is no panic later.
    fn device(&self, kind: &DeviceKind) -> Result<Device, DeviceError> {
        static STARTED: Mutex<Vec<usize>> = Mutex::new(Vec::new());
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("wgpu {} {}", self.info.name, self.info.driver_info);
        cache::configure(&key, Backend::Wgpu, self.is_software());
        if !started.contains(&self.index) {
            let options = Device::wgpu_options().device_kind(kind.clone());
            let opened = guarded(
                || options.init().map_err(|error| error.to_string()),
                |reason| reason,
            );
            opened
                .map_err(|reason| DeviceError::wgpu_open(self.index, &self.info.name, &reason))?;
            started.push(self.index);
        }
        Ok(Device::wgpu(kind.clone()))
    }
}

/// By the driver's management library, which writes the place on the bus with more zeros.
fn nvidia_memory(bus_id: &str) -> Option<DeviceMemory> {
    let bus_id = bus_id.to_lowercase();
    let gpus = nvml::gpus();
    let of_bus = |gpu: &&nvml::Gpu| !bus_id.is_empty() && gpu.bus_id.ends_with(&bus_id);
    let gpu = match gpus.as_slice() {
        [gpu] => Some(gpu),
        gpus => gpus.iter().find(of_bus),
    };
    let (total_bytes, free_bytes) = gpu?.memory_bytes?;
    Some(DeviceMemory {
        total_bytes,
        free_bytes,
    })
}

/// By the kernel's driver, on Linux.
fn amd_memory(bus_id: &str) -> Option<DeviceMemory> {
    let directory = std::path::Path::new("/sys/bus/pci/devices").join(bus_id);
    let read = |file: &str| -> Option<u64> {
        let text = std::fs::read_to_string(directory.join(file)).ok()?;
        text.trim().parse().ok()
    };
    let total_bytes = read("mem_info_vram_total")?;
    Some(DeviceMemory {
        total_bytes,
        free_bytes: total_bytes.saturating_sub(read("mem_info_vram_used")?),
    })
}

/// Sets the variable that leads to the desktop where it is not set, as in containers: a layer of Mesa's Vulkan asks the
/// desktop which GPU it is shown by, and complains on standard error where it cannot. Elsewhere than on Linux nothing.
///
/// # Safety
/// As for [`std::env::set_var`]: no other thread may use the environment meanwhile.
pub unsafe fn set_runtime_directory() {
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    if cfg!(target_os = "linux") && std::env::var_os(VARIABLE).is_none() {
        // SAFETY: the caller's promise is the same.
        unsafe { std::env::set_var(VARIABLE, std::env::temp_dir()) };
    }
}

/// All adapters, asked for once: the loader of Vulkan does not like to be asked by many threads at once.
fn adapters() -> &'static [Adapter] {
    static FOUND: OnceLock<Vec<Adapter>> = OnceLock::new();
    FOUND.get_or_init(|| first_with_gpu(INTERFACES.iter().copied().map(adapters_of)))
}

/// The adapters of the first interface that has a GPU, else of the first that has any. One of unknown kind counts as a
/// GPU, as it does for burn.
fn first_with_gpu(interfaces: impl IntoIterator<Item = Vec<Adapter>>) -> Vec<Adapter> {
    let mut of_software = Vec::new();
    for adapters in interfaces {
        if adapters.iter().any(|adapter| !adapter.is_software()) {
            return adapters;
        }
        if of_software.is_empty() {
            of_software = adapters;
        }
    }
    of_software
}

/// Burn's name for the adapter of a type that comes after `n_alike` of the same; `None` where it has none.
fn kind_of(device_type: wgpu::DeviceType, n_alike: usize) -> Option<DeviceKind> {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => Some(DeviceKind::DiscreteGpu(n_alike)),
        wgpu::DeviceType::IntegratedGpu => Some(DeviceKind::IntegratedGpu(n_alike)),
        wgpu::DeviceType::VirtualGpu => Some(DeviceKind::VirtualGpu(n_alike)),
        wgpu::DeviceType::Cpu => Some(DeviceKind::Cpu),
        // Most GPUs by OpenGL.
        wgpu::DeviceType::Other => None,
    }
}

fn adapters_of(interface: wgpu::Backend) -> Vec<Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: interface.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let found = block_on(instance.enumerate_adapters(interface.into()));
    let mut adapters: Vec<Adapter> = Vec::with_capacity(found.len());
    for adapter in found {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        // burn numbers the adapters of each kind apart.
        let n_alike = adapters
            .iter()
            .filter(|other| other.info.device_type == info.device_type)
            .count();
        // Of adapters of software it knows the first alone.
        if info.device_type == wgpu::DeviceType::Cpu && n_alike > 0 {
            continue;
        }
        adapters.push(Adapter {
            index: adapters.len(),
            kind: kind_of(info.device_type, n_alike),
            dtypes: Dtypes {
                f16: adapter.features().contains(wgpu::Features::SHADER_F16),
                // WGSL has no such type.
                bf16: false,
            },
            most_buffer_bytes: limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size),
            can_compute: limits.max_compute_invocations_per_workgroup > 0
                && limits.max_storage_buffers_per_shader_stage >= 2,
            info,
        });
    }
    adapters
}

/// The best adapter, be it of software.
fn best(adapters: &[Adapter]) -> Option<&Adapter> {
    adapters.iter().min_by_key(|adapter| adapter.rank())
}

/// The GPUs, the best first.
fn gpus(adapters: &[Adapter]) -> Vec<&Adapter> {
    let mut gpus: Vec<&Adapter> = adapters
        .iter()
        .filter(|adapter| !adapter.is_software())
        .collect();
    gpus.sort_by_key(|adapter| adapter.rank());
    gpus
}

/// Opens an adapter by its number, or the best one, be it of software.
pub fn open(index: Option<usize>) -> Result<OpenDevice, DeviceError> {
    let adapters = adapters();
    let adapter = match index {
        None => best(adapters),
        Some(index) => adapters.get(index),
    };
    match (adapter, index) {
        (Some(adapter), _) => adapter.open(),
        (None, Some(index)) if !adapters.is_empty() => Err(DeviceError::WgpuIndex {
            index,
            n_adapters: adapters.len(),
        }),
        (None, _) => Err(DeviceError::WgpuNoAdapter),
    }
}

/// Opens the best GPU.
///
/// # Errors
/// Why there is none, in a few words.
pub fn open_gpu() -> Result<OpenDevice, String> {
    let gpus = gpus(adapters());
    let mut reason = match adapters().first() {
        Some(software) if gpus.is_empty() => format!(
            "wgpu finds no GPU but the software adapter {}",
            software.info.name
        ),
        _ => DeviceError::WgpuNoAdapter.in_short(),
    };
    for gpu in gpus {
        match gpu.open() {
            Ok(device) => return Ok(device),
            Err(error) => reason = error.in_short(),
        }
    }
    Err(reason)
}

/// All adapters, or why there is none.
pub fn list() -> Vec<DeviceReport> {
    let adapters = adapters();
    if adapters.is_empty() {
        let problem = DeviceError::WgpuNoAdapter.to_string();
        return vec![DeviceReport::unusable("wgpu", Backend::Wgpu, problem)];
    }
    adapters.iter().map(Adapter::report).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::DeviceKind;
    use burn::tensor::wgpu::wgpu::{AdapterInfo, Backend, DeviceType};

    use super::{Adapter, best, first_with_gpu, gpus, kind_of};
    use crate::dtype::Dtypes;
    use crate::error::DeviceError;

    fn adapter(device_type: DeviceType) -> Adapter {
        Adapter {
            index: 0,
            kind: kind_of(device_type, 0),
            info: AdapterInfo::new(device_type, Backend::Gl),
            dtypes: Dtypes {
                f16: false,
                bf16: false,
            },
            most_buffer_bytes: 128 << 20,
            can_compute: true,
        }
    }

    fn adapters(types: &[DeviceType]) -> Vec<Adapter> {
        types.iter().copied().map(adapter).collect()
    }

    fn types<'a>(adapters: impl IntoIterator<Item = &'a Adapter>) -> Vec<DeviceType> {
        let types = adapters.into_iter().map(|adapter| adapter.info.device_type);
        types.collect()
    }

    #[test]
    fn adapters_of_software_are_no_gpus_and_serve_where_they_are_named() {
        use DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
        let all = adapters(&[Other, Cpu, VirtualGpu, IntegratedGpu, DiscreteGpu]);
        let gpus_of_all = [DiscreteGpu, IntegratedGpu, VirtualGpu, Other];
        assert_eq!(types(gpus(&all)), gpus_of_all);
        assert_eq!(types(best(&all)), [DiscreteGpu]);
        let software = adapters(&[Cpu]);
        assert!(gpus(&software).is_empty());
        assert_eq!(types(best(&software)), [Cpu]);
        // Before one that cannot be used.
        assert_eq!(types(best(&adapters(&[Other, Cpu]))), [Cpu]);
        assert!(best(&[]).is_none());
    }

    #[test]
    fn the_first_interface_with_a_gpu_is_taken_whatever_kind_it_is_of() {
        use DeviceType::{Cpu, IntegratedGpu, Other};
        for (interfaces, taken) in [
            (vec![vec![Cpu], vec![Other]], vec![Other]),
            (
                vec![vec![Cpu, IntegratedGpu], vec![Other]],
                vec![Cpu, IntegratedGpu],
            ),
            (vec![vec![], vec![Cpu], vec![Cpu, Cpu]], vec![Cpu]),
            (vec![vec![], vec![]], vec![]),
        ] {
            let found = first_with_gpu(interfaces.iter().map(|types| adapters(types)));
            assert_eq!(types(&found), taken, "{interfaces:?}");
        }
    }

    #[test]
    fn an_adapter_that_burn_has_no_name_for_is_refused_with_what_helps() {
        let other = adapter(DeviceType::Other);
        let error = other.open().unwrap_err();
        assert!(matches!(&error, DeviceError::WgpuUnknownKind { .. }));
        let problem = other.report().problem.unwrap();
        assert_eq!(problem, error.to_string());
        for part in ["wgpu:0", "OpenGL", "Vulkan driver"] {
            assert!(problem.contains(part), "no {part} in {problem}");
        }
        let integrated = adapter(DeviceType::IntegratedGpu);
        assert_eq!(integrated.usable_kind(), Ok(&DeviceKind::IntegratedGpu(0)));
        let graphics_alone = Adapter {
            can_compute: false,
            ..integrated
        };
        let error = graphics_alone.usable_kind().unwrap_err();
        assert!(matches!(error, DeviceError::WgpuNoCompute { .. }));
    }
}
