//! The repository itself: sizes that keep it readable, and nothing that points outside.

use std::fs;

const LONGEST_FILE: usize = 400;

#[test]
fn no_rust_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<String> = super::tracked("*.rs")
        .into_iter()
        .filter_map(|file| {
            let lines = fs::read_to_string(super::root().join(&file)).expect("it is there").lines().count();
            (lines > LONGEST_FILE).then(|| format!("{file}: {lines}"))
        })
        .collect();
    assert!(long.is_empty(), "split these: {long:#?}");
}

#[test]
fn every_package_carries_the_licence() {
    for manifest in super::tracked("*Cargo.toml") {
        let text = fs::read_to_string(super::root().join(&manifest)).expect("it is there");
        let licensed = text.contains("license.workspace = true") || text.contains("[workspace.package]");
        assert!(licensed, "{manifest} names no licence");
    }
    assert!(fs::read_to_string(super::root().join("LICENSE")).expect("LICENSE").contains("Apache License"));
}
