//! How much memory the operating system can still give.

/// Bytes that can be used before the system runs out, swap included; `None` where it does not say.
pub fn free_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    parse(&meminfo)
}

fn parse(meminfo: &str) -> Option<u64> {
    let field = |name: &str| -> Option<u64> {
        let line = meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(field("MemAvailable")? + field("SwapFree").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn free_memory_and_free_swap_are_added() {
        let meminfo = "MemTotal:       100 kB\nMemAvailable:    40 kB\nSwapFree:         2 kB\n";
        assert_eq!(parse(meminfo), Some(42 * 1024));
        assert_eq!(parse("MemAvailable: 1 kB\n"), Some(1024));
        assert_eq!(parse("MemTotal: 1 kB\n"), None);
        assert_eq!(parse("MemAvailable: many\n"), None);
    }
}
