use std::collections::BTreeSet;

use clap::CommandFactory as _;

use super::*;

const REFERENCE: &str = include_str!("../../../../docs/reference/cli.md");

/// Every command that does something, with what `--help` says of it.
fn commands() -> BTreeSet<(String, String)> {
    fn collect(prefix: &str, command: &clap::Command, found: &mut BTreeSet<(String, String)>) {
        for child in command.get_subcommands() {
            let name = format!("{prefix} {}", child.get_name());
            if child.has_subcommands() {
                collect(&name, child, found);
            } else {
                found.insert((name, child.get_about().unwrap().to_string()));
            }
        }
    }
    let mut found = BTreeSet::new();
    collect("evenkeel", &Cli::command(), &mut found);
    found
}

/// The rows of the table under a heading with these columns.
fn rows(header: &str) -> BTreeSet<(String, String)> {
    let lines = REFERENCE.lines().skip_while(|line| *line != header).skip(2);
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
        })
        .collect()
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn the_reference_lists_the_commands_that_exist() {
    assert_eq!(rows("| command | what it does |"), commands());
}

#[test]
fn the_reference_and_the_help_list_the_same_exit_codes() {
    let documented = rows("| code | meaning |");
    let help = Cli::command().render_help().to_string();
    assert_eq!(documented.len(), EXIT_CODES.len());
    for (code, meaning) in EXIT_CODES {
        assert!(documented.contains(&(code.to_string(), meaning.to_owned())), "{code} {meaning}");
        assert!(help.contains(meaning), "{help}");
    }
}

#[test]
fn every_flag_of_the_reference_exists() {
    fn flags(command: &clap::Command, found: &mut BTreeSet<String>) {
        found.extend(command.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))));
        for arg in command.get_arguments() {
            found.extend(arg.get_all_aliases().into_iter().flatten().map(|alias| format!("--{alias}")));
        }
        command.get_subcommands().for_each(|child| flags(child, found));
    }
    let mut known: BTreeSet<String> = [String::from("--help")].into();
    flags(&Cli::command(), &mut known);
    let is_end = |c: char| !(c.is_ascii_lowercase() || c == '-');
    for (at, _) in REFERENCE.match_indices("--").filter(|(at, _)| !REFERENCE[..*at].ends_with(['-', '|'])) {
        let flag = REFERENCE[at..].split(is_end).next().unwrap();
        assert!(flag.trim_matches('-').is_empty() || known.contains(flag), "{flag} is not a flag");
    }
}

#[test]
fn cluster_flags_may_stand_before_and_after_the_command() {
    for line in [["evenkeel", "-n", "a", "get"], ["evenkeel", "get", "-n", "a"]] {
        assert_eq!(Cli::try_parse_from(line).unwrap().cluster.namespace, "a");
    }
}

#[test]
fn exactly_one_thing_is_verified() {
    let parse = |line: &[&str]| Cli::try_parse_from([&["evenkeel", "audit", "verify"], line].concat());
    for good in [vec!["one"], vec!["--all"], vec!["--correlation-id", "rr"], vec!["--offline", "f"]] {
        assert!(parse(&good).is_ok(), "{good:?}");
    }
    for bad in [
        vec![],
        vec!["one", "--all"],
        vec!["--offline", "f", "--bundle", "g"],
        vec!["--all", "--offline", "f"],
    ] {
        assert!(parse(&bad).is_err(), "{bad:?}");
    }
}
