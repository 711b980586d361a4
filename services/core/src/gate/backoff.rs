//! Where executions fail before anything of them runs, the next one waits: longer after each.

use sha2::{Digest as _, Sha256};

use super::{History, Hold, UNTIL, rest_ends};
use crate::{
    conditions::{Millis, reason},
    moment::rfc3339,
    plan::{Observed, Settings, millis},
};

/// How much shorter or longer a wait may be, in thousandths.
const JITTER: Millis = 100;

pub(super) fn hold(observed: &Observed<'_>, history: &History, now: Millis) -> Option<Hold> {
    let past = history.last_unable.as_ref()?;
    let rest = length(observed.settings, history.unable, &observed.record.uid);
    let end = rest_ends(observed, reason::EXPONENTIAL_BACKOFF, past, rest, now);
    if end <= now {
        return None;
    }
    let times = if history.unable == 1 { "once".to_owned() } else { format!("{} times", history.unable) };
    let message = format!(
        "target {} is left alone{UNTIL}{}: executions on it failed {times} in a row before they began, \
         the last was {} ({})",
        observed.record.spec.target,
        rfc3339(end),
        past.name,
        past.reason,
    );
    Some(Hold { reason: reason::EXPONENTIAL_BACKOFF, message, until: Some(end) })
}

/// How long an execution waits after so many failures: twice as long each time up to a limit, and a
/// little more or less for each execution, so that those who failed together do not come back
/// together. The same execution always waits as long. In whole seconds where it lasts for some.
fn length(settings: &Settings, failures: u32, uid: &str) -> Millis {
    let (first, longest) = (millis(settings.backoff), millis(settings.backoff_max));
    if first == 0 {
        return 0;
    }
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(30)).min(longest);
    let digest = Sha256::digest(format!("{uid}/{failures}"));
    let spread = Millis::from(u16::from_be_bytes([digest[0], digest[1]])) % (2 * JITTER + 1) - JITTER;
    let spread = (doubled / 1000 * spread).div_euclid(1000) * 1000;
    (doubled + spread).clamp(first, longest.max(first))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(first: u64, longest: u64) -> Settings {
        Settings {
            backoff: Duration::from_millis(first),
            backoff_max: Duration::from_millis(longest),
            ..crate::plan::fixtures::settings()
        }
    }

    #[test]
    fn the_wait_doubles_from_one_minute_to_ten() {
        let settings = settings(60_000, 600_000);
        for (failures, minutes) in
            [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10), (400, 10), (u32::MAX, 10)]
        {
            for uid in (0..200).map(|n| format!("uid-{n}")) {
                let waits = length(&settings, failures, &uid);
                let (least, most) = (minutes * 54_000, minutes * 66_000);
                assert!((least..=most).contains(&waits), "{failures}: {waits}");
                assert!((60_000..=600_000).contains(&waits), "{failures}: {waits}");
                assert_eq!(waits % 1000, 0);
                assert_eq!(waits, length(&settings, failures, &uid), "the same execution waits as long");
            }
        }
    }

    #[test]
    fn executions_do_not_come_back_together() {
        let settings = settings(60_000, 600_000);
        let waits: std::collections::BTreeSet<_> =
            (0..50).map(|n| length(&settings, 4, &format!("uid-{n}"))).collect();
        assert!(waits.len() > 20, "{waits:?}");
    }

    #[test]
    fn no_first_wait_is_no_backoff_and_a_short_one_is_kept() {
        assert_eq!(length(&settings(0, 600_000), 3, "u"), 0);
        assert_eq!(length(&settings(100, 400), 1, "u"), 100);
        assert_eq!(length(&settings(100, 400), 9, "u"), 400);
        assert_eq!(length(&settings(100, 50), 1, "u"), 100, "the first wait is the least");
    }
}
