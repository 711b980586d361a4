//! What people and programs read: tables that fit the terminal, JSON and YAML.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::{Error, Result};

/// Columns are never made narrower than this.
const NARROWEST: usize = 6;
const GAP: &str = "  ";

/// How to print objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// What the output goes to.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether the cursor may be moved.
    pub live: bool,
    /// Whether colours are wanted.
    pub colour: bool,
    /// Columns; none when nothing is to be cut.
    pub width: Option<usize>,
}

impl Screen {
    /// Looks at standard output, `NO_COLOR` and `TERM`.
    pub fn detect() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width =
            terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| usize::from(width.0));
        Self { live: terminal && !dumb(), colour: terminal && wants_colour(), width }
    }

    /// A text in a colour, if colours are wanted.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        match tone.code().filter(|_| self.colour) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// Whether colours are wanted where there is a terminal.
fn wants_colour() -> bool {
    !dumb() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// What a colour says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// As wanted.
    Good,
    /// Not as wanted.
    Bad,
    /// Under way.
    Busy,
    /// Less important.
    Faint,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Bad => Some("31"),
            Self::Busy => Some("33"),
            Self::Faint => Some("2"),
        }
    }

    /// The colour of a phase.
    pub fn of_phase(phase: &str) -> Self {
        match phase {
            "Completed" => Self::Good,
            "Failed" => Self::Bad,
            "Running" => Self::Busy,
            _ => Self::Plain,
        }
    }
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

impl Cell {
    /// A cell in a colour.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: harmless(&text.into(), |_| false), tone }
    }
}

/// A text in which no control character can move the cursor or forge a line: they are shown as escapes,
/// but for those to `keep`. Objects are written by anybody, and read on somebody's terminal.
pub fn harmless(text: &str, keep: impl Fn(char) -> bool) -> String {
    let show = |c: char| match c {
        c if c.is_control() && !keep(c) => c.escape_default().to_string(),
        c => c.to_string(),
    };
    if text.chars().any(char::is_control) { text.chars().map(show).collect() } else { text.to_owned() }
}

/// A table with a header.
#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    kept: usize,
}

impl Table {
    /// A table without rows.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new(), kept: 1 }
    }

    /// Never cuts the first `columns`, which name the row; without this, one.
    #[must_use]
    pub fn keep(self, columns: usize) -> Self {
        Self { kept: columns, ..self }
    }

    /// Adds a row, one cell per column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The text, one line per row. The widest columns are cut until the lines fit the screen.
    pub fn render(&self, screen: Screen) -> String {
        let widths = fit(self.natural_widths(), self.kept, screen.width);
        let mut text = String::new();
        let header: Vec<Cell> = self.header.iter().map(|name| Cell::toned(*name, Tone::Faint)).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let shown = cut(&cell.text, *width);
                let padding = " ".repeat(width.saturating_sub(shown.chars().count()));
                screen.paint(cell.tone, &shown) + &padding
            });
            text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
            text.push('\n');
        }
        text
    }

    fn natural_widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|name| name.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        widths
    }
}

/// Takes from the widest column that may be cut, until everything fits or nothing can be taken.
fn fit(mut widths: Vec<usize>, kept: usize, limit: Option<usize>) -> Vec<usize> {
    let Some(limit) = limit else { return widths };
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > limit {
        match widths.iter_mut().skip(kept).max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => break,
        }
    }
    widths
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Prints text to standard output as it is.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Error::OutputClosed),
        Err(error) => Err(Error::Output(error)),
    }
}

/// Prints a line to standard error, for what is not the command's result.
pub fn note(text: &str) {
    // Nobody to tell when even that fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says what went wrong, in one line.
pub fn error(message: &str) {
    let colour = std::io::stderr().is_terminal() && wants_colour();
    let screen = Screen { live: false, colour, width: None };
    let message = harmless(&message.replace('\n', " "), |_| false);
    note(&format!("{} {message}", screen.paint(Tone::Bad, "error:")));
}

/// Prints a value as JSON or YAML; a table is the caller's to make.
pub fn print_value(format: Format, value: &impl Serialize) -> Result<()> {
    let text = match format {
        Format::Yaml => serde_saphyr::to_string(value).map_err(std::io::Error::other),
        Format::Json | Format::Table => {
            serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(std::io::Error::other)
        }
    };
    print(&text.map_err(Error::Output)?)
}

/// A length of time as people read it: `42s`, `3m20s`, `5h07m`, `3d04h`.
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 if seconds % 60 == 0 => format!("{minutes}m"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A stored time, to the millisecond; what is no time is shown as it is.
pub fn moment(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |time| format!("{time:.3}"))
}

/// Time since `then`.
pub fn since(then: Timestamp, now: Timestamp) -> String {
    span(now.duration_since(then))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Screen = Screen { live: false, colour: false, width: None };

    fn sample() -> Table {
        let mut table = Table::new(&["NAME", "PHASE", "TARGET"]);
        table.row(vec![
            "restart-a".into(),
            Cell::toned("Failed", Tone::Bad),
            "default/Deployment/checkout".into(),
        ]);
        table.row(vec!["b".into(), "Running".into(), "Node/n1".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_space() {
        let expected = "NAME       PHASE    TARGET\n\
                        restart-a  Failed   default/Deployment/checkout\n\
                        b          Running  Node/n1\n";
        assert_eq!(sample().render(PLAIN), expected);
    }

    #[test]
    fn what_an_object_says_cannot_move_the_cursor_or_forge_a_row() {
        let mut table = Table::new(&["NAME"]);
        table.row(vec!["a\n\u{1b}[2Jb\u{9b}1m".into()]);
        assert_eq!(table.render(PLAIN), "NAME\na\\n\\u{1b}[2Jb\\u{9b}1m\n");
        assert_eq!(harmless("two\nlines\t", |c| c == '\n'), "two\nlines\\t");
    }

    #[test]
    fn a_narrow_screen_cuts_the_widest_column_only() {
        let text = sample().render(Screen { width: Some(32), ..PLAIN });
        assert!(text.lines().all(|line| line.chars().count() <= 32), "{text}");
        assert!(text.contains("restart-a  Failed   default/Dep…"), "{text}");
    }

    #[test]
    fn a_screen_that_is_far_too_narrow_still_gets_every_column() {
        let text = sample().render(Screen { width: Some(5), ..PLAIN });
        assert_eq!(text.lines().nth(2), Some("b          Runni…  Node/…"));
    }

    #[test]
    fn nothing_is_cut_without_a_terminal() {
        assert!(sample().render(PLAIN).contains("default/Deployment/checkout"));
    }

    #[test]
    fn colours_do_not_move_columns() {
        let coloured = sample().render(Screen { colour: true, ..PLAIN });
        assert!(coloured.contains("\x1b[31mFailed\x1b[0m   default"), "{coloured:?}");
    }

    #[test]
    fn spans_are_short() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (200, "3m20s"), (18_420, "5h07m"), (273_600, "3d04h")]
        {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text);
        }
        assert_eq!(span(SignedDuration::from_secs(-5)), "0s");
    }
}
