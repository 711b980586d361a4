//! Values that every service reads from its command line or environment.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use secrecy::SecretString;

/// Who this process is and whom it trusts.
#[derive(Args, Clone, Debug, Default)]
pub struct Security {
    /// PEM file of the certificate authority that both servers and clients are checked against.
    #[arg(long, env = "EVENKEEL_CA")]
    pub ca: Option<PathBuf>,
    /// PEM file of this process's certificate.
    #[arg(long, env = "EVENKEEL_CERT", requires = "key")]
    pub cert: Option<PathBuf>,
    /// PEM file of the private key of that certificate.
    #[arg(long, env = "EVENKEEL_KEY", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Bearer token to present to servers, instead of or beside a certificate.
    #[arg(long, env = "EVENKEEL_TOKEN", hide_env_values = true, value_parser = |text: &str| Ok::<_, std::convert::Infallible>(SecretString::from(text)))]
    pub token: Option<SecretString>,
    /// File that holds such a token and is read again before it expires.
    #[arg(long, env = "EVENKEEL_TOKEN_FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Speak without TLS. Refused for any address that is not loopback.
    #[arg(long, env = "EVENKEEL_PLAINTEXT")]
    pub plaintext: bool,
}

/// Parses a duration in Go's notation: `15s`, `1m30s`, `500ms`, `2h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let fail = || format!("'{text}' is not a duration; write it like 15s, 1m30s, 500ms or 2h");
    if text.strip_prefix('-').is_some_and(|rest| parse_duration(rest).is_ok()) {
        return Err(format!("'{text}' is negative; write it like 15s, 1m30s, 500ms or 2h"));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| fail())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(fail()),
        };
        let part = u32::try_from(number).ok().and_then(|n| unit.checked_mul(n)).ok_or_else(fail)?;
        total = total.checked_add(part).ok_or_else(fail)?;
        rest = &rest[letters..];
    }
    Ok(total)
}

/// The same for what must not be zero.
pub fn parse_duration_above_zero(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("'{text}' is too short: it must be above zero, such as 15s or 1m30s")),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_gos_notation() {
        for (text, millis) in
            [("15s", 15_000), ("1m30s", 90_000), ("500ms", 500), ("2h", 7_200_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "5", "s", "1x", "-5s", "1.5s", "99999999999999999999s", "5 s"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("15s"), "{text}: {error}");
        }
    }

    #[test]
    fn a_negative_duration_and_none_at_all_are_called_what_they_are() {
        for text in ["-5s", "-1m30s", "-0s"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(text) && error.contains("negative"), "{text}: {error}");
        }
        for text in ["-", "--5s", "-5"] {
            assert!(parse_duration(text).unwrap_err().contains("is not a duration"), "{text}");
        }
        for text in ["0s", "0h0m"] {
            let error = parse_duration_above_zero(text).unwrap_err();
            assert!(error.contains(text) && error.contains("above zero"), "{text}: {error}");
        }
        assert_eq!(parse_duration_above_zero("1ms"), Ok(Duration::from_millis(1)));
    }
}
