//! Following executions: a line for each change, and on a terminal one more that shows the time.

use std::io::Write as _;

use jiff::Timestamp;

use crate::{
    error::Result,
    execution::Execution,
    output::{self, Screen, Tone},
};

/// Shows what is going on.
pub struct Progress {
    screen: Screen,
    silent: bool,
    named: bool,
    /// The last line of each execution.
    shown: std::collections::HashMap<String, String>,
    /// What the moving line tells of.
    current: Option<Execution>,
    /// Whether the moving line is on the screen.
    moving: bool,
}

impl Progress {
    /// Follows one execution; `silent` only keeps its state.
    pub fn of_one(silent: bool) -> Self {
        Self::new(silent, false)
    }

    /// Follows many, so that each line names its execution.
    pub fn of_many() -> Self {
        Self::new(false, true)
    }

    fn new(silent: bool, named: bool) -> Self {
        let shown = std::collections::HashMap::new();
        Self { screen: Screen::detect(), silent, named, shown, current: None, moving: false }
    }

    /// The phase that was shown last.
    pub fn phase(&self) -> &str {
        self.current.as_ref().map_or("Pending", Execution::phase)
    }

    /// Takes the newest state; prints a line when it tells something new.
    pub fn take(&mut self, one: Execution) -> Result<()> {
        let line = line(&one, self.named, self.screen);
        let key = format!("{}/{}", one.namespace(), one.name());
        self.current = Some(one);
        if self.silent || self.shown.insert(key, line.clone()).as_ref() == Some(&line) {
            return Ok(());
        }
        self.clear();
        output::print(&format!("{}  {line}\n", clock()))
    }

    /// Says that an execution is gone.
    pub fn gone(&mut self, one: &Execution) -> Result<()> {
        self.shown.remove(&format!("{}/{}", one.namespace(), one.name()));
        self.clear();
        output::print(&format!("{}  {}  deleted\n", clock(), one.name()))
    }

    /// Says something that is no state.
    pub fn note(&mut self, text: &str) {
        self.clear();
        output::note(text);
    }

    /// Moves the moving line, on a terminal, while one execution has not ended.
    pub fn tick(&mut self) {
        let Some(one) = &self.current else { return };
        if !self.screen.live || self.silent || self.named || one.is_terminal() {
            return;
        }
        let now = Timestamp::now();
        let time = one.duration(now).or_else(|| one.age(now)).unwrap_or_default();
        let text = self.screen.paint(Tone::Faint, &format!("{} for {time}", one.phase()));
        let _ = write!(std::io::stdout(), "\r\x1b[K{text}").and_then(|()| std::io::stdout().flush());
        self.moving = true;
    }

    /// Takes the moving line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.moving) {
            let _ = write!(std::io::stdout(), "\r\x1b[K").and_then(|()| std::io::stdout().flush());
        }
    }
}

fn line(one: &Execution, named: bool, screen: Screen) -> String {
    let phase = screen.paint(Tone::of_phase(one.phase()), &format!("{:<9}", one.phase()));
    let detail = one.detail().split_whitespace().collect::<Vec<_>>().join(" ");
    if named { format!("{}  {phase}  {detail}", one.name()) } else { format!("{phase}  {detail}") }
}

fn clock() -> String {
    Timestamp::now().to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::execution::tests::execution;

    #[test]
    fn a_line_is_one_line_whatever_the_summary_holds() {
        let failed = execution(json!({
            "phase": "Failed",
            "failureDetails": {
                "failedTaskIndex": 0, "failedTaskName": "", "reason": "Unknown", "message": "m",
                "failedAt": "2026-01-02T03:00:12Z", "naturalLanguageSummary": "first\nsecond",
            },
        }));
        let plain = Screen { live: false, colour: false, width: None };
        assert_eq!(line(&failed, false, plain), "Failed     first second");
        assert_eq!(line(&failed, true, plain), "restart  Failed     first second");
    }
}
