//! What processes use, as the kernel counts it.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::Context as _;

use crate::stats::as_float;

/// Ticks a second, the same on every Linux that programs can see.
const TICKS: u64 = 100;

/// Processor time used so far by a process.
pub fn processor_time(pid: i32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, the program's name, may itself hold blanks and parentheses.
    let rest = stat.rsplit_once(')').context("a stat line has a name")?.1;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|text| text.parse::<u64>().ok()).context("a count of ticks");
    Ok(Duration::from_millis((ticks()? + ticks()?) * 1000 / TICKS))
}

/// Milliseconds of processor time per execution, by process.
pub type Costs = BTreeMap<String, f64>;

/// Milliseconds of processor time per execution that each process used in between.
pub fn costs(began: &BTreeMap<String, Duration>, ended: &BTreeMap<String, Duration>, count: usize) -> Costs {
    let cost = |(who, ended): (&String, &Duration)| {
        let used = ended.saturating_sub(*began.get(who)?);
        Some((who.clone(), used.as_secs_f64() * 1000.0 / as_float(count)))
    };
    ended.iter().filter_map(cost).collect()
}

/// The most memory that a process ever occupied, in bytes.
pub fn highest_memory(pid: i32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "no process here has petabytes")]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The processor, as the kernel names it, and how many there are.
pub fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} x {}", model.map_or("unknown processor", |(_, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_grows_with_work() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = processor_time(own).unwrap();
        let mut sum = 0_u64;
        while processor_time(own).unwrap() == before {
            sum = std::hint::black_box((0..100_000).fold(sum, u64::wrapping_add));
        }
    }
}
