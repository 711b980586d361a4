//! The gRPC contracts: style, compatibility with what was released, comments.

use std::process::Command;

use evenkeel_cluster::tools::{self, Tool};

/// Runs buf from the pinned tool dependencies.
fn buf(arguments: &[&str]) {
    let toolbox = tools::ensure(&[Tool::Buf]).expect("buf is built");
    let buf = toolbox.path(Tool::Buf).expect("it was asked for");
    let output = Command::new(buf).args(arguments).current_dir(super::root()).output().expect("buf runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_contracts_follow_the_style_rules() {
    buf(&["lint"]);
}

/// `proto/released.binpb` is the contract that clients were built against.
#[test]
fn the_contracts_break_no_released_client() {
    buf(&["breaking", "--against", "proto/released.binpb"]);
}
