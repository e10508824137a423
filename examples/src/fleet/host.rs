//! The state of this machine, read from `/proc`.

use std::fs;
use std::io;

/// Load and memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Host {
    /// Mean number of processes that ran or wanted to, over the last minute.
    pub load1: f64,
    /// Memory that a new program could have, in kB.
    pub mem_available_kb: i64,
}

impl Host {
    /// How the machine is now.
    ///
    /// # Errors
    /// The system has no `/proc`, or another one than Linux has.
    pub(crate) fn now() -> io::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/loadavg")?, &fs::read_to_string("/proc/meminfo")?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc is not what Linux writes"))
    }

    fn parse(loadavg: &str, meminfo: &str) -> Option<Self> {
        let load1 = loadavg.split_ascii_whitespace().next()?.parse().ok()?;
        let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        let mem_available_kb = line.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self { load1, mem_available_kb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let meminfo = "MemTotal:        8048288 kB\nMemAvailable:    6123456 kB\n";
        let expected = Host { load1: 0.42, mem_available_kb: 6_123_456 };
        assert_eq!(Host::parse("0.42 0.30 0.11 1/123 4567\n", meminfo), Some(expected));
        assert_eq!(Host::parse("", meminfo), None);
        assert_eq!(Host::parse("0.42", "MemTotal: 1 kB"), None);
        assert!(Host::now().unwrap().mem_available_kb > 0);
    }
}
