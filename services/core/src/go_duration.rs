//! Durations as the custom resources write them: Go's notation, `1m30s`.

use std::{fmt::Write as _, time::Duration};

const NANOS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Writes a duration: `0s`, `15s`, `1m30s`, `1h0m0s`, `1.5s`, `250ms`.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (unit, size) = match nanos {
            1_000_000.. => ("ms", 1_000_000),
            1_000.. => ("µs", 1_000),
            _ => ("ns", 1),
        };
        return decimal(nanos, size) + unit;
    }
    let (hours, rest) = (nanos / 3_600_000_000_000, nanos % 3_600_000_000_000);
    let (minutes, rest) = (rest / 60_000_000_000, rest % 60_000_000_000);
    let mut text = String::new();
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    text + &decimal(rest, 1_000_000_000) + "s"
}

/// `value / size` without needless zeros.
fn decimal(value: u128, size: u128) -> String {
    let (whole, rest) = (value / size, value % size);
    if rest == 0 {
        return whole.to_string();
    }
    let width = size.to_string().len() - 1;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// Reads a duration. Negative ones and ones without a unit are refused; `0` alone is not.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let letters =
            rest[number..].find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len() - number);
        let (value, unit) = (&rest[..number], &rest[number..number + letters]);
        let unit = if matches!(unit, "µs" | "μs") { "us" } else { unit };
        let (_, size) = NANOS.into_iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(value, size)?)?;
        rest = &rest[number + letters..];
    }
    Some(total)
}

/// A decimal number of units of `size` nanoseconds; what is finer than a nanosecond is cut off.
fn scaled(number: &str, size: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(size)?;
    let mut place = size;
    for digit in fraction.chars() {
        place /= 10;
        nanos = nanos.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (millis, text) in [
            (0, "0s"),
            (15_000, "15s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
            (3_661_000, "1h1m1s"),
            (60_000, "1m0s"),
            (1_500, "1.5s"),
            (250, "250ms"),
            (86_400_000, "24h0m0s"),
        ] {
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(format(Duration::from_nanos(1_500)), "1.5µs");
        assert_eq!(format(Duration::from_nanos(7)), "7ns");
    }

    #[test]
    fn what_go_reads_is_read() {
        for (text, millis) in [
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("+2s", 2_000),
            (".5s", 500),
            ("300ms", 300),
            ("1us", 0),
        ] {
            assert_eq!(parse(text).map(|d| d.as_millis()), Some(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "-5s", "s", ".s", "1x", "1..5s", "1 s", "99999999999h", "1s ", "ü"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for millis in [1, 999, 1_000, 59_999, 60_000, 3_599_999, 7_322_250] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&format(duration)), Some(duration));
        }
    }
}
