//! What verification found, for people and for programs.

use std::fmt::Write as _;

use evenkeel_chain::Checkpoint;
use serde_json::{Value, json};

use super::{bundle::Record, check::Body};
use crate::{
    error::{Error, Result},
    output::{self, Cell, Format, Screen, Table, Tone},
};

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) index: u64,
    pub(super) event_id: String,
    time: String,
    kind: String,
    outcome: String,
    resource: String,
    removed: bool,
    /// What is wrong with it.
    pub(super) problem: Option<String>,
}

impl Row {
    pub(super) fn new(record: &Record, body: &Body, problem: Option<String>) -> Self {
        let removed = record.body.is_none();
        let time = if removed { &record.recorded_at } else { &body.event_timestamp };
        Self {
            index: record.index,
            event_id: record.event_id.clone(),
            time: time.clone(),
            kind: if removed { "(erased)".to_owned() } else { body.event_type.clone() },
            outcome: body.event_outcome.clone(),
            resource: body.resource(),
            removed,
            problem,
        }
    }

    fn to_value(&self) -> Value {
        json!({
            "index": self.index, "event_id": self.event_id, "time": self.time, "type": self.kind,
            "outcome": self.outcome, "resource": self.resource, "removed": self.removed,
            "verified": self.problem.is_none(), "problem": self.problem,
        })
    }
}

/// What verification found.
#[derive(Debug)]
pub(super) struct Report {
    /// The checkpoint that everything was verified against.
    pub(super) checkpoint: Checkpoint,
    /// Name and hash of the key that signed it.
    pub(super) key: String,
    /// The events; only the wrong ones when the whole log was verified.
    pub(super) rows: Vec<Row>,
    /// Number of events.
    pub(super) taken: u64,
    /// Number of events whose bodies are gone.
    pub(super) removed: u64,
    /// Whether these are all events of the log.
    pub(super) complete: bool,
    /// What is wrong with the whole.
    pub(super) problems: Vec<String>,
}

impl Report {
    /// Whether everything is proved.
    pub(super) fn is_good(&self) -> bool {
        self.problems.is_empty() && self.rows.iter().all(|row| row.problem.is_none())
    }

    /// Success, or the first thing that is wrong.
    pub(super) fn outcome(&self) -> Result<()> {
        let mut wrong = self.rows.iter().filter_map(|row| Some((row, row.problem.as_ref()?)));
        match (wrong.next(), self.problems.first()) {
            (Some((row, problem)), _) => {
                let others = wrong.count();
                let more = if others == 0 { String::new() } else { format!(" (and {others} more)") };
                let (index, id) = (row.index, &row.event_id);
                Err(Error::Verification(format!("entry {index}, event {id}: {problem}{more}")))
            }
            (None, Some(problem)) => Err(Error::Verification(problem.clone())),
            (None, None) => Ok(()),
        }
    }

    /// Prints it.
    pub(super) fn print(&self, format: Format) -> Result<()> {
        if format != Format::Table {
            return output::print_value(format, &self.to_value());
        }
        output::print(&self.text(Screen::detect()))
    }

    fn to_value(&self) -> Value {
        let Checkpoint { origin, size, root } = &self.checkpoint;
        json!({
            "verified": self.is_good(),
            "checkpoint": { "origin": origin, "size": size, "root": root.to_string() },
            "key": self.key,
            "events": self.rows.iter().map(Row::to_value).collect::<Vec<_>>(),
            "count": self.taken,
            "removed": self.removed,
            "complete": self.complete,
            "problems": self.problems,
        })
    }

    fn text(&self, screen: Screen) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            let mut table = Table::new(&["INDEX", "TIME", "TYPE", "OUTCOME", "RESOURCE", "VERIFIED"]);
            for row in &self.rows {
                table.row(vec![
                    row.index.to_string().into(),
                    output::moment(&row.time).into(),
                    row.kind.as_str().into(),
                    row.outcome.as_str().into(),
                    row.resource.as_str().into(),
                    match &row.problem {
                        None => Cell::toned("✓", Tone::Good),
                        Some(_) => Cell::toned("✗", Tone::Bad),
                    },
                ]);
            }
            text.push_str(&table.render(screen));
            text.push('\n');
        }
        for row in &self.rows {
            if let Some(problem) = &row.problem {
                let _ = writeln!(text, "entry {} ({}): {problem}", row.index, row.event_id);
            }
        }
        for problem in &self.problems {
            let _ = writeln!(text, "log: {problem}");
        }
        text.push_str(&self.summary());
        text
    }

    fn summary(&self) -> String {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        let events = format!("{} event{}", self.taken, if self.taken == 1 { "" } else { "s" });
        let removed = match self.removed {
            0 => String::new(),
            removed => format!(", {removed} of them without body"),
        };
        let against = format!("checkpoint of {size} entries, root {root}, signed by {}", self.key);
        match (self.is_good(), self.complete) {
            (true, true) => {
                format!("verified: {events}{removed}, which is the whole log\nagainst {against}\n")
            }
            (true, false) => format!("verified: {events}{removed}\nagainst {against}\n"),
            (false, _) => format!("NOT verified: {events}\nagainst {against}\n"),
        }
    }
}
