//! What became of everything, and whether that is as it must be.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    Parts,
    harm::Harms,
    sample::{Sample, Usage},
};
use crate::{
    ending::{Ending, Outcome},
    verdict::Verdict,
};

/// In the calm part, the last third may take this many times what the first third takes.
const LEAK: f64 = 2.0;
/// How long after its end an execution may hold its target when nothing is struck.
const RELEASE_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Report {
    pub(super) parts: Parts,
    pub(super) endings: Vec<Ending>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) samples: Vec<Sample>,
    pub(super) harms: Harms,
    pub(super) locks: BTreeMap<String, usize>,
    /// How long after their end executions were released, sorted: before the calm part, and in it.
    pub(super) lags: [Vec<Duration>; 2],
}

/// How what one process takes went on in the calm part.
struct Course {
    name: &'static str,
    /// Of every process of that name, in MiB, all that was resident.
    peak: f64,
    first: Usage,
    last: Usage,
    /// Means of the first and the last third: own MiB, and open files.
    early: [f64; 2],
    late: [f64; 2],
    /// Of a line through its own memory, in KiB a minute.
    slope: f64,
}

impl Course {
    fn of(which: usize, all: &[Sample], calm: Duration) -> Option<Self> {
        let usage = |sample: &Sample| sample.processes.get(which).and_then(|(_, usage)| *usage);
        let name = all.first()?.processes.get(which)?.0;
        let peak = all.iter().filter_map(usage).map(|usage| usage.resident_mib()).fold(0.0, f64::max);
        let last = usage(all.last()?)?;
        // Whatever ran before is another process.
        let calm: Vec<(f64, Usage)> = all
            .iter()
            .filter(|sample| sample.at >= calm)
            .filter_map(|sample| Some((sample.at.as_secs_f64() / 60.0, usage(sample)?)))
            .filter(|(_, usage)| usage.pid == last.pid)
            .collect();
        let third = calm.len().div_ceil(3);
        let means = |some: &[(f64, Usage)]| {
            #[expect(clippy::cast_precision_loss, reason = "there are few")]
            let files = |(_, usage): &(f64, Usage)| usage.files as f64;
            [mean(some, |(_, usage)| usage.own_mib()), mean(some, files)]
        };
        let (early, late) = (means(calm.get(..third)?), means(calm.get(calm.len() - third..)?));
        Some(Self { name, peak, first: calm.first()?.1, last, early, late, slope: slope(&calm) })
    }

    fn grows(&self) -> bool {
        self.late.iter().zip(self.early).any(|(late, early)| *late > early * LEAK)
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are few")]
fn mean(points: &[(f64, Usage)], of: impl Fn(&(f64, Usage)) -> f64) -> f64 {
    points.iter().map(of).sum::<f64>() / points.len() as f64
}

/// The slope of the line that fits own memory best, in KiB a minute.
fn slope(points: &[(f64, Usage)]) -> f64 {
    let kib = |point: &(f64, Usage)| f64::from(point.1.own);
    let (x, y) = (mean(points, |point| point.0), mean(points, kib));
    let over: f64 = points.iter().map(|point| (point.0 - x) * (kib(point) - y)).sum();
    let under: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

impl Report {
    fn courses(&self) -> impl Iterator<Item = Course> {
        (0..4).filter_map(|which| Course::of(which, &self.samples, self.parts.calm))
    }

    /// The fullest sample from before anything was struck: not every watch is open from the first
    /// moment.
    fn before(&self) -> Option<&Sample> {
        let before = self.samples.iter().filter(|sample| sample.at < self.parts.harm);
        before.max_by_key(|sample| sample.watch_count())
    }

    /// Everything that is not as it must be.
    pub(super) fn problems(&self) -> Vec<String> {
        let judged = self.endings.iter().zip(&self.verdicts).filter(|(_, verdict)| !verdict.is_good());
        let mut problems: Vec<String> =
            judged.map(|(ending, verdict)| format!("{}: {verdict}", ending.name)).collect();
        let twice = self.locks.iter().filter(|(_, count)| **count != 1);
        problems.extend(twice.map(|(target, count)| format!("{count} Leases remember {target}")));
        let (Some(first), Some(last)) = (self.before(), self.samples.last()) else {
            problems.push("nothing was sampled".to_owned());
            return problems;
        };
        if (last.executions, last.jobs, last.pods, last.held, last.leaders) != (0, 0, 0, 0, 1) {
            problems.push(format!("left over: {}", last.show(None)));
        }
        // One may be about to be renewed.
        if last.watch_count() > first.watch_count() + 1 {
            problems.push(format!("watches: {:?} at first, {:?} at last", first.watches, last.watches));
        }
        problems.extend(self.courses().filter(Course::grows).map(|course| {
            let Course { name, early, late, .. } = course;
            format!("{name} grew from {early:.1?} to {late:.1?} (MiB, files)")
        }));
        if let Some(longest) = self.lags[1].last().filter(|longest| **longest > RELEASE_LIMIT) {
            problems.push(format!("a target was released only {longest:.1?} after its run's end"));
        }
        problems
    }

    fn show_executions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<22} {:>6} {:>9} {:>7}", "EXECUTIONS", "COUNT", "LAUNCHES", "WRONG")?;
        let mut outcomes: BTreeMap<Outcome, [usize; 3]> = BTreeMap::new();
        for (ending, verdict) in self.endings.iter().zip(&self.verdicts) {
            let counted = outcomes.entry(ending.wanted).or_default();
            counted[0] += 1;
            counted[1] += verdict.launches;
            counted[2] += usize::from(!verdict.is_good());
        }
        for (outcome, [count, launches, wrong]) in outcomes {
            writeln!(f, "{outcome:<22} {count:>6} {launches:>9} {wrong:>7}")?;
        }
        let unrecorded = self.verdicts.iter().filter(|verdict| !verdict.audit.is_empty()).count();
        writeln!(f, "{} executions, the record of {unrecorded} is not exact", self.verdicts.len())
    }

    fn show_processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<13} {:>9} {:>9} {:>9} {:>16} {:>15} {:>8} {:>9}",
            "PROCESS",
            "PEAK MiB",
            "LAST MiB",
            "OWN MiB",
            "ITS FIRST THIRD",
            "ITS LAST THIRD",
            "KiB/MIN",
            "FILES"
        )?;
        for Course { name, peak, first, last, early, late, slope } in self.courses() {
            let files = format!("{} -> {}", first.files, last.files);
            let (resident, own, early, late) = (last.resident_mib(), last.own_mib(), early[0], late[0]);
            writeln!(
                f,
                "{name:<13} {peak:>9.1} {resident:>9.1} {own:>9.2} {early:>16.2} {late:>15.2} {slope:>8.0} {files:>9}"
            )?;
        }
        writeln!(f, "own: without the program and other files; the last four columns are of the calm part")?;
        writeln!(f, "a leak is more than {LEAK} times the first third of the calm part in its last third")
    }

    fn show_leftovers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), Some(last)) = (self.before(), self.samples.last()) else { return Ok(()) };
        let lag = |which: usize| {
            let some = &self.lags[which];
            let at = |part: usize| some.get((some.len() * part / 100).min(some.len().saturating_sub(1)));
            format!(
                "{:.1?} / {:.1?}",
                at(50).copied().unwrap_or_default(),
                at(100).copied().unwrap_or_default()
            )
        };
        writeln!(f, "\nend to release, p50 / longest: {} while struck, {} in calm", lag(0), lag(1))?;
        writeln!(f, "watches: {:?} at first, {:?} at last", first.watches, last.watches)?;
        writeln!(
            f,
            "left over: {} executions, {} Jobs, {} pods, {} held locks; {} Leases for {} targets, {} of the leader",
            last.executions,
            last.jobs,
            last.pods,
            last.held,
            last.locks,
            self.locks.len(),
            last.leaders
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.harms)?;
        self.show_executions(f)?;
        self.show_processes(f)?;
        self.show_leftovers(f)?;
        let problems = self.problems();
        for problem in &problems {
            writeln!(f, "NOT AS IT MUST BE: {problem}")?;
        }
        if problems.is_empty() { write!(f, "all as it must be") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of one process, a minute apart, with this much memory in MiB, half of it its own; the
    /// first belongs to another process.
    fn samples(memory: &[u32]) -> Vec<Sample> {
        let sample = |(nth, mib): (usize, &u32)| Sample {
            at: Duration::from_secs(60 * nth as u64),
            processes: vec![(
                "controller",
                Some(Usage { pid: i32::from(nth > 0), resident: mib << 10, own: mib << 9, files: 20 }),
            )],
            watches: BTreeMap::new(),
            executions: 0,
            jobs: 0,
            pods: 0,
            locks: 0,
            held: 0,
            leaders: 1,
        };
        memory.iter().enumerate().map(sample).collect()
    }

    #[test]
    fn a_process_that_takes_more_and_more_is_told_from_one_that_does_not() {
        let course = |memory: &[u32]| Course::of(0, &samples(memory), Duration::ZERO).unwrap();
        let (steady, leaks) = (course(&[90, 30, 31, 30, 32, 31, 31]), course(&[1, 10, 20, 30, 40, 50, 60]));
        assert!(!steady.grows() && leaks.grows());
        assert!((leaks.slope - 5.0 * 1024.0).abs() < 1.0, "{}", leaks.slope);
        assert!((steady.peak - 90.0).abs() < 0.1, "the peak is that of all of them");
        assert!((steady.first.resident_mib() - 30.0).abs() < 0.1, "and the course that of the last one");
    }
}
