//! Settings from a YAML file, the environment and the command line. Each is defined once, as an
//! argument of a program; the file gives it another default. So a variable wins over the file and
//! a flag over both, and the same rules say what is a good value, wherever it comes from.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Command, Parser, error::ErrorKind, parser::ValueSource};

mod print;
mod yaml;

use yaml::{Entry, Given};

/// What is printed in place of a secret.
const MASK: &str = "***";

/// One key of the file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its place, such as `execution.cooldownPeriod`.
    pub path: &'static str,
    /// What it is here.
    pub means: Means,
}

/// What a key is to the program that reads it.
#[derive(Clone, Copy, Debug)]
pub enum Means {
    /// The argument of this id.
    Argument(&'static str),
    /// The argument of this id, whose value is never shown.
    Secret(&'static str),
    /// Nothing: it is taken from files that are shared with others, checked, and left alone.
    Other {
        /// Whom it is for, or why it has no effect.
        note: &'static str,
        /// Why a value is wrong.
        check: fn(&str) -> Result<(), String>,
    },
}

impl Key {
    /// A key that is the argument of this id.
    pub const fn argument(path: &'static str, id: &'static str) -> Self {
        Self { path, means: Means::Argument(id) }
    }

    /// The same for a value that is never shown.
    pub const fn secret(path: &'static str, id: &'static str) -> Self {
        Self { path, means: Means::Secret(id) }
    }

    /// A key that means nothing here.
    pub const fn other(
        path: &'static str,
        note: &'static str,
        check: fn(&str) -> Result<(), String>,
    ) -> Self {
        Self { path, means: Means::Other { note, check } }
    }

    fn id(&self) -> Option<&'static str> {
        match self.means {
            Means::Argument(id) | Means::Secret(id) => Some(id),
            Means::Other { .. } => None,
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or cannot be read.
    #[error("could not read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something in the file is wrong.
    #[error("{}:{line}: {message}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// A flag or a variable is wrong, or help was asked for.
    #[error(transparent)]
    Usage(#[from] clap::Error),
}

/// The settings of a program, and where each comes from.
pub struct Settings<P> {
    /// The program's arguments.
    pub arguments: P,
    /// What to tell about the file: keys that mean nothing here.
    pub notes: Vec<String>,
    effective: Vec<print::Line>,
}

impl<P> Settings<P> {
    /// All settings as a file that would give the same, with secrets masked.
    pub fn print(&self) -> String {
        print::yaml(&self.effective)
    }

    /// The keys whose values differ.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let mine = self.effective.iter().map(|line| (line.path, &line.values));
        let theirs: BTreeMap<_, _> = other.effective.iter().map(|line| (line.path, &line.values)).collect();
        mine.filter(|(path, values)| theirs.get(path) != Some(values)).map(|(path, _)| path).collect()
    }
}

/// Reads a program's settings. `file` is what the command line or the environment names, if any.
pub fn read<P: Parser>(
    keys: &[Key],
    line: &[OsString],
    file: impl FnOnce(&P) -> Option<PathBuf>,
) -> Result<Settings<P>, Error> {
    let command = P::command();
    let plain = P::from_arg_matches(&command.clone().try_get_matches_from(line)?)?;
    let Some(path) = file(&plain) else { return settle(command, keys, line, Vec::new()) };
    let text =
        std::fs::read_to_string(&path).map_err(|source| Error::Unreadable { path: path.clone(), source })?;
    let wrong = |(line, message)| Error::Wrong { path: path.clone(), line, message };
    let entries = yaml::entries(&text).map_err(wrong)?;
    let mut notes = Vec::new();
    let mut command = command;
    for Entry { path: place, line, given } in entries {
        let key = find(keys, &place).map_err(|message| wrong((line, message)))?;
        let values = given.values().map_err(|message| wrong((line, format!("{place}: {message}"))))?;
        let bad = |message: String| wrong((line, format!("{place}: {message}")));
        match key.means {
            Means::Argument(id) | Means::Secret(id) => {
                values.iter().try_for_each(|value| check(&command, id, value)).map_err(bad)?;
                let many = matches!(given, Given::List(_));
                command = with_default(command, id, values, many).map_err(bad)?;
            }
            Means::Other { note, check } => {
                values.iter().try_for_each(|value| check(value)).map_err(bad)?;
                notes.push(format!("{place}: {note}"));
            }
        }
    }
    settle(command, keys, line, notes)
}

fn settle<P: Parser>(
    command: Command,
    keys: &[Key],
    line: &[OsString],
    notes: Vec<String>,
) -> Result<Settings<P>, Error> {
    let variables = command
        .get_arguments()
        .filter_map(|argument| {
            Some((argument.get_id().to_string(), argument.get_env()?.to_str()?.to_owned()))
        })
        .collect();
    let matches = command.try_get_matches_from(line)?;
    let effective = effective(keys, &matches, &variables);
    Ok(Settings { arguments: P::from_arg_matches(&matches)?, notes, effective })
}

fn find<'a>(keys: &'a [Key], place: &str) -> Result<&'a Key, String> {
    if let Some(key) = keys.iter().find(|key| key.path == place) {
        return Ok(key);
    }
    // What is known where the unknown key stands helps more than everything there is.
    let parent = place.rsplit_once('.').map_or("", |(parent, _)| parent);
    let known: Vec<&str> = keys.iter().map(|key| key.path).filter(|path| path.starts_with(parent)).collect();
    let known = if known.is_empty() { keys.iter().map(|key| key.path).collect() } else { known };
    Err(format!("unknown key '{place}'; known are {}", known.join(", ")))
}

/// Has the argument's own rule judge a value.
fn check(command: &Command, id: &str, value: &str) -> Result<(), String> {
    let argument = command.get_arguments().find(|argument| argument.get_id() == id);
    let long = argument.and_then(|argument| argument.get_long()).ok_or("has no flag")?;
    let takes_value = argument.is_some_and(|argument| argument.get_action().takes_values());
    if !takes_value {
        let is_flag = matches!(value, "true" | "false");
        return if is_flag { Ok(()) } else { Err(format!("'{value}' is neither true nor false")) };
    }
    let line = [command.get_name().to_owned(), format!("--{long}={value}")];
    match command.clone().try_get_matches_from(line) {
        Err(error) if matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) => {
            Err(reason(&error, value))
        }
        // Whatever else is missing or wrong is not about this value.
        _ => Ok(()),
    }
}

/// The rule's own words, without those about a flag that nobody used.
fn reason(error: &clap::Error, value: &str) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("'{value}': {source}"),
        None if value.is_empty() => "must not be empty".to_owned(),
        None => {
            let text = error.to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    }
}

fn with_default(
    command: Command,
    id: &'static str,
    values: Vec<String>,
    many: bool,
) -> Result<Command, String> {
    let argument = command.get_arguments().find(|argument| argument.get_id() == id);
    let takes_many = argument.is_some_and(|argument| argument.get_value_delimiter().is_some());
    if many && !takes_many {
        return Err("takes one value, not a list".to_owned());
    }
    Ok(command.mut_arg(id, |argument| argument.default_values(values)))
}

fn effective(keys: &[Key], matches: &ArgMatches, variables: &BTreeMap<String, String>) -> Vec<print::Line> {
    let known = keys.iter().filter_map(|key| Some((key, key.id()?)));
    known
        .filter_map(|(key, id)| {
            let raw = matches.get_raw(id).into_iter().flatten();
            let values: Vec<String> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
            let source = match matches.value_source(id)? {
                ValueSource::EnvVariable => format!("from {}", variables.get(id).map_or("", String::as_str)),
                ValueSource::CommandLine => "from the command line".to_owned(),
                _ => String::new(),
            };
            let values = match key.means {
                Means::Secret(_) => vec![MASK.to_owned()],
                _ => values,
            };
            Some(print::Line { path: key.path, values, source })
        })
        .collect()
}

/// The text of a file, to see whether it changed.
pub fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Refuses an empty value.
pub fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests;
