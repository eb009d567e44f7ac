//! How much memory the model takes: the device's, or on a CPU the process's.

use burn::tensor::Device;

/// The most memory that was seen in use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watermark {
    in_use: u64,
    reserved: u64,
}

impl Watermark {
    /// Looks at the device between two pieces of work.
    pub fn look(&mut self, device: &Device) {
        if let Some(usage) = device.memory_pool_usage() {
            self.in_use = self.in_use.max(usage.bytes_in_use);
            self.reserved = self.reserved.max(usage.bytes_reserved);
        }
    }

    /// What the allocator had from the device at its most; on a CPU what the process had of the machine. `None` where
    /// nothing says.
    pub fn peak_bytes(self) -> Option<u64> {
        if self.reserved > 0 {
            return Some(self.reserved);
        }
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        process_peak(&status)
    }

    /// The most of it that tensors used between two pieces of work; `None` on a CPU.
    pub fn in_use_bytes(self) -> Option<u64> {
        (self.in_use > 0).then_some(self.in_use)
    }
}

/// Most memory that a process ever had, from its `/proc/…/status`.
fn process_peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::process_peak;

    #[test]
    fn the_peak_of_a_process_is_read() {
        assert_eq!(
            process_peak("Name:\tglyph\nVmHWM:\t   1024 kB\nVmRSS:\t 8 kB\n"),
            Some(1 << 20)
        );
        assert_eq!(process_peak("Name:\tglyph\n"), None);
    }
}
