//! When the services ask the API server how much, as that recorded it: what comes all at once shows in
//! no total.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;

/// The requests of one environment's services since a moment.
pub struct Rhythm {
    path: PathBuf,
    start: u64,
    users: String,
}

impl Rhythm {
    /// Of the services of this namespace, from now on.
    pub fn since_now(path: &Path, namespace: &str) -> anyhow::Result<Self> {
        let start = path.metadata().with_context(|| format!("look at {}", path.display()))?.len();
        Ok(Self { path: path.to_owned(), start, users: format!("system:serviceaccount:{namespace}:") })
    }

    /// The most requests that were answered within one second.
    pub fn busiest_second(&self) -> anyhow::Result<usize> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.start))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be half written.
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let seconds = lines.filter_map(|line: Value| self.second(&line));
        let mut counts = BTreeMap::<i64, usize>::new();
        for second in seconds {
            *counts.entry(second).or_default() += 1;
        }
        Ok(counts.into_values().max().unwrap_or_default())
    }

    /// When a request was answered, unless it is somebody else's. A watch is answered when it begins.
    fn second(&self, line: &Value) -> Option<i64> {
        let text = |pointer| line.pointer(pointer).and_then(Value::as_str);
        let answered = if text("/verb") == Some("watch") { "ResponseStarted" } else { "ResponseComplete" };
        let is_ours = text("/user/username")?.starts_with(&self.users);
        let counts = is_ours && text("/stage") == Some(answered);
        counts.then_some(text("/stageTimestamp")?.parse::<Timestamp>().ok()?.as_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_second_counts_what_the_services_asked_since() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = |user: &str, verb: &str, stage: &str, second: u32| {
            let line = serde_json::json!({
                "user": { "username": format!("system:serviceaccount:{user}:controller") },
                "verb": verb,
                "stage": stage,
                "stageTimestamp": format!("2026-01-01T00:00:{second:02}.500000Z"),
            });
            format!("{line}\n")
        };
        let before = line("mine", "get", "ResponseComplete", 7).repeat(9);
        std::fs::write(file.path(), &before).unwrap();
        let rhythm = Rhythm::since_now(file.path(), "mine").unwrap();
        let since = [
            line("mine", "get", "ResponseComplete", 7),
            line("mine", "watch", "ResponseStarted", 7),
            line("mine", "watch", "ResponseComplete", 7),
            line("other", "get", "ResponseComplete", 7),
            line("mine", "get", "ResponseComplete", 8),
            "{\"half".to_owned(),
        ];
        std::fs::write(file.path(), before + &since.concat()).unwrap();
        assert_eq!(rhythm.busiest_second().unwrap(), 2);
    }
}
