//! `docs/behaviour/` names the test that proves each rule; here every such test must exist.

use std::{collections::BTreeSet, fs};

/// Test names in a behaviour document: `` `path::to::test_name` `` in code spans.
fn named_tests(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| span.contains("::") && !span.contains(' '))
        .filter_map(|span| span.rsplit("::").next().map(str::to_owned))
        .collect()
}

/// Rules of a document: table rows whose first cell is an id such as `V-1`.
fn rules(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter_map(|line| {
            let id = line.strip_prefix("| ")?.split(" |").next()?.trim();
            let shape = id.split_once('-').is_some_and(|(area, number)| {
                area.chars().all(|c| c.is_ascii_uppercase())
                    && number.starts_with(|c: char| c.is_ascii_digit())
            });
            shape.then_some((id, line))
        })
        .collect()
}

fn documents() -> Vec<(String, String)> {
    super::tracked("docs/behaviour/*.md")
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(super::root().join(&name)).expect("the file is there");
            (name, text)
        })
        .collect()
}

fn existing_tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in super::tracked("*.rs") {
        let text = fs::read_to_string(super::root().join(file)).expect("the file is there");
        for part in text.split("fn ").skip(1) {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            names.insert(part[..end].to_owned());
        }
    }
    names
}

#[test]
fn every_test_named_by_a_rule_exists() {
    let tests = existing_tests();
    for (document, text) in documents() {
        for name in named_tests(&text) {
            assert!(tests.contains(&name), "{document} names the test '{name}', which does not exist");
        }
    }
}

#[test]
fn every_rule_names_a_test_and_has_its_own_id() {
    let mut seen = BTreeSet::new();
    let documents = documents();
    assert!(!documents.is_empty(), "docs/behaviour has no documents");
    for (document, text) in &documents {
        for (id, line) in rules(text) {
            assert!(!named_tests(line).is_empty(), "{document}: rule {id} names no test");
            assert!(seen.insert(id), "{document}: rule {id} is there twice");
        }
    }
    assert!(seen.len() > 20, "only {} rules were found: has the table's form changed?", seen.len());
}
