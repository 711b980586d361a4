use std::{path::PathBuf, time::Duration};

use clap::Parser;

use super::*;
use crate::config::parse_duration;

#[derive(Parser, Debug)]
#[command(name = "sample")]
struct Sample {
    #[arg(long, env = "EVENKEEL_SAMPLE_CONFIG")]
    config: Option<PathBuf>,
    #[arg(long, env = "EVENKEEL_SAMPLE_NAME", default_value = "usual", value_parser = not_empty)]
    name: String,
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    rest: Duration,
    #[arg(long, value_delimiter = ',', default_value = "a:1")]
    others: Vec<String>,
    #[arg(long)]
    quiet: bool,
    #[arg(long)]
    token: Option<String>,
}

const KEYS: [Key; 6] = [
    Key::argument("main.name", "name"),
    Key::argument("main.rest", "rest"),
    Key::argument("main.quiet", "quiet"),
    Key::secret("main.token", "token"),
    Key::argument("others", "others"),
    Key::other("old.size", "has no effect", |text| {
        text.parse::<u32>().map(drop).map_err(|_| format!("'{text}' is not a number"))
    }),
];

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn read_with(text: &str, flags: &[&str]) -> Result<Settings<Sample>, Error> {
    let (_directory, path) = file(text);
    let path = path.display().to_string();
    let line: Vec<OsString> =
        ["sample", "--config", &path].iter().chain(flags).map(|word| OsString::from(*word)).collect();
    read(&KEYS, &line, |sample: &Sample| sample.config.clone())
}

fn refused(text: &str) -> String {
    match read_with(text, &[]) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("this was taken: {text}"),
    }
}

#[test]
fn without_a_file_there_are_the_defaults() {
    let settings = read(&KEYS, &["sample".into()], |sample: &Sample| sample.config.clone()).unwrap();
    assert_eq!((settings.arguments.name.as_str(), settings.arguments.rest.as_secs()), ("usual", 300));
}

#[test]
fn the_file_gives_defaults_and_a_flag_wins() {
    let text = "main:\n  name: filed\n  rest: 15s\n  quiet: true\nothers: [x:1, 'y:2']\n";
    let settings = read_with(text, &["--name", "flagged"]).unwrap();
    let Sample { name, rest, others, quiet, .. } = settings.arguments;
    assert_eq!((name.as_str(), rest.as_secs(), quiet), ("flagged", 15, true));
    assert_eq!(others, ["x:1", "y:2"]);
}

#[test]
fn a_file_that_is_missing_is_named() {
    let line = ["sample", "--config", "/nowhere/config.yaml"].map(OsString::from);
    let error = read(&KEYS, &line, |sample: &Sample| sample.config.clone()).err().unwrap();
    assert!(error.to_string().contains("/nowhere/config.yaml"), "{error}");
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_the_reason() {
    for (text, line, word) in [
        ("main:\n  nmae: x\n", 2, "unknown key 'main.nmae'; known are main.name"),
        ("other:\n  x: 1\n", 2, "unknown key 'other.x'"),
        ("main:\n\n  rest: soon\n", 3, "main.rest: 'soon': 'soon' is not a duration"),
        ("main:\n  name: ''\n", 2, "main.name: '': must not be empty"),
        ("main:\n  name:\n", 2, "main.name: has no value"),
        ("main:\n  quiet: maybe\n", 2, "neither true nor false"),
        ("main:\n  name: [a, b]\n", 2, "takes one value"),
        ("old:\n  size: large\n", 2, "old.size: 'large' is not a number"),
        ("main:\n  name: a\n  name: b\n", 3, "name"),
        ("main: [\n", 1, "unclosed"),
        ("- main\n", 1, "must be keys and values"),
    ] {
        let message = refused(text);
        assert!(
            message.contains(&format!("config.yaml:{line}: ")) && message.contains(word),
            "{text}: {message}"
        );
    }
}

#[test]
fn what_is_printed_is_a_file_that_gives_the_same_and_shows_no_secret() {
    let text = "main:\n  rest: 15s\n  token: hidden\nothers: [x:1, y:2]\nold: {size: 7}\n";
    let settings = read_with(text, &["--name", "a b: c"]).unwrap();
    let printed = settings.print();
    assert!(!printed.contains("hidden") && printed.contains("token: \"***\""), "{printed}");
    assert!(printed.contains("name: \"a b: c\" # from the command line"), "{printed}");
    assert_eq!(settings.notes, ["old.size: has no effect"]);
    let again = read_with(&printed, &[]).unwrap();
    assert_eq!(again.arguments.name, "a b: c");
    assert_eq!(again.differing(&settings), [""; 0], "{printed}");
    let word = read_with("", &["--name", "off"]).unwrap().print();
    assert!(word.contains("name: \"off\""), "a plain off is false in YAML: {word}");
    assert_eq!(read_with(&word, &[]).unwrap().arguments.name, "off");
    assert_eq!(
        read_with("main:\n  rest: 16s\n", &[]).unwrap().differing(&read_with("", &[]).unwrap()),
        ["main.rest"]
    );
}
