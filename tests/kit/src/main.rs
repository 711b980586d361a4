//! `evenkeel-dev`: everything on one machine, for people who work on it.

use std::process::ExitCode;

fn main() -> ExitCode {
    evenkeel_test_kit::dev::main()
}
