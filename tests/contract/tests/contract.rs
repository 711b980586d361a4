//! What must not drift: which room knows which, the protocol, the behaviour rules.

#[path = "contract/behaviour.rs"]
mod behaviour;
#[path = "contract/layers.rs"]
mod layers;
#[path = "contract/protocol.rs"]
mod protocol;
#[path = "contract/repository.rs"]
mod repository;

use std::path::{Path, PathBuf};

/// Root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two levels up").to_owned()
}

/// Files that git tracks, as paths below the root.
fn tracked(pathspec: &str) -> Vec<String> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", pathspec])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names are UTF-8");
    names.lines().filter(|name| root().join(name).is_file()).map(str::to_owned).collect()
}
