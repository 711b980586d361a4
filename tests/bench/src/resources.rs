//! What processes use, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::Context as _;

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
