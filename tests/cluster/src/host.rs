//! Commands of the system.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::error::{Error, Result};

/// Runs a command to its end. What it printed, or why it failed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    run_with(command, "")
}

/// The same, with `input` on its standard input.
pub(crate) fn run_with(command: &mut Command, input: &str) -> Result<String> {
    let line = || {
        let words =
            std::iter::once(command_name(command)).chain(command.get_args().map(|a| a.display().to_string()));
        words.collect::<Vec<_>>().join(" ")
    };
    let line = line();
    let failed = |output: String| Error::Command { command: line.clone(), output };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input has still its say below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let [errors, printed] = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes));
    let said = if errors.trim().is_empty() { printed.trim() } else { errors.trim() };
    Err(failed(format!("{said} ({})", output.status)))
}

fn command_name(command: &Command) -> String {
    let program = command.get_program().display().to_string();
    program.rsplit('/').next().unwrap_or(&program).to_owned()
}
