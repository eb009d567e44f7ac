//! How much memory this machine has, and how much of it this process can still get.

use std::path::Path;

/// Bytes that can be used before the system, or the container that the process runs in, runs out; `None` where
/// nothing says (only Linux does).
pub fn free_bytes() -> Option<u64> {
    let system = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|meminfo| system_free(&meminfo));
    let container = std::fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|groups| container_free(Path::new("/sys/fs/cgroup"), &groups));
    system.into_iter().chain(container).min()
}

/// All memory of the machine; `None` where nothing says.
pub fn total_bytes() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// Available memory and free swap.
fn system_free(meminfo: &str) -> Option<u64> {
    Some(field(meminfo, "MemAvailable")? + field(meminfo, "SwapFree").unwrap_or(0))
}

fn field(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What the control groups (version 2) of the process leave it: the least of its own group and those above.
fn container_free(root: &Path, groups: &str) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let read = |group: &Path, file: &str| -> Option<u64> {
        let text = std::fs::read_to_string(root.join(group).join(file)).ok()?;
        text.trim().parse().ok()
    };
    Path::new(group)
        .ancestors()
        .filter_map(|group| {
            // A group without a limit says `max`, which is no number.
            let limit = read(group, "memory.max")?;
            Some(limit.saturating_sub(read(group, "memory.current")?))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::{container_free, field, system_free};

    #[test]
    fn free_memory_and_free_swap_are_added() {
        let meminfo = "MemTotal:       100 kB\nMemAvailable:    40 kB\nSwapFree:         2 kB\n";
        assert_eq!(system_free(meminfo), Some(42 * 1024));
        assert_eq!(field(meminfo, "MemTotal"), Some(100 * 1024));
        assert_eq!(system_free("MemAvailable: 1 kB\n"), Some(1024));
        assert_eq!(system_free("MemTotal: 1 kB\n"), None);
        assert_eq!(system_free("MemAvailable: many\n"), None);
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("box/inner");
        std::fs::create_dir_all(&inner).unwrap();
        let groups = "1:cpu:/other\n0::/box/inner\n";
        assert_eq!(container_free(root.path(), groups), None);
        for (group, limit, used) in [("box", "1000", "300"), ("box/inner", "max", "200")] {
            std::fs::write(root.path().join(group).join("memory.max"), limit).unwrap();
            std::fs::write(root.path().join(group).join("memory.current"), used).unwrap();
        }
        assert_eq!(container_free(root.path(), groups), Some(700));
        std::fs::write(inner.join("memory.max"), "150\n").unwrap();
        assert_eq!(container_free(root.path(), groups), Some(0));
        assert_eq!(container_free(root.path(), "1:cpu:/\n"), None);
    }
}
