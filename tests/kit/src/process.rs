//! Processes that may outlive whoever started them, and are never mistaken for others.

use std::{
    fs::{self, OpenOptions},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

/// A process, told apart from a later one with the same number by when it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pid: i32,
    /// Boot and clock tick of its start.
    start: String,
}

impl ProcessId {
    /// The live process of this number.
    fn of(pid: i32) -> Option<Self> {
        let (process, state) = Self::in_any_state(pid)?;
        (!matches!(state, 'Z' | 'X')).then_some(process)
    }

    /// The process of this number and its state. One that looks dead may still have threads, and
    /// with them its files and ports.
    fn in_any_state(pid: i32) -> Option<(Self, char)> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field, the program's name, may itself hold blanks and parentheses.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let tick = fields.nth(18)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Some((Self { pid, start: format!("{}/{tick}", boot.trim()) }, state))
    }

    /// This very process.
    pub(crate) fn own() -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        Self::of(pid).unwrap_or_else(|| Self { pid, start: String::new() })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Whether it was stopped in its tracks.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
        state == Some("T") && self.is_alive()
    }

    /// Signals the process, unless it is gone.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(handle) = self.handle() {
            // It may end between the two calls; the handle makes that harmless.
            let _ = pidfd_send_signal(handle, signal);
        }
    }

    /// Waits until the process is gone. False when it is still there after `limit`.
    pub(crate) fn wait_gone(&self, limit: Duration) -> bool {
        let Some(handle) = self.handle() else { return true };
        let limit = Timespec::try_from(limit).ok();
        let mut ended = [PollFd::new(&handle, PollFlags::IN)];
        matches!(poll(&mut ended, limit.as_ref()), Ok(1..)) || !self.is_alive()
    }

    /// Kills the process and waits for its end.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait_gone(Duration::from_secs(10));
    }

    /// A handle of this process and no other: checked after it was taken, so a number that went to
    /// a new process in between is noticed.
    fn handle(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        let now = Self::in_any_state(self.pid)?.0;
        (now == *self).then_some(handle)
    }
}

/// Starts a program with this environment and no other, in its own process group so that an
/// interrupt at the terminal does not reach it, with its output appended to `log`.
pub(crate) fn spawn<'a>(
    program: &Path,
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    log: &Path,
) -> anyhow::Result<ProcessId> {
    let output = OpenOptions::new().create(true).append(true).open(log);
    let output = output.with_context(|| format!("open {}", log.display()))?;
    let mut command = Command::new(program);
    command.env_clear().envs(environment).process_group(0).current_dir("/");
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
    let pid = i32::try_from(child.id())?;
    // Not collected before this is read, so the number is still its own.
    let id = ProcessId::of(pid).unwrap_or_else(|| ProcessId { pid, start: String::new() });
    // Collect it when it ends: a zombie would keep its number.
    thread::spawn(move || child.wait());
    Ok(id)
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_only_the_environment_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let process = spawn(Path::new("/usr/bin/env"), [("ONLY", "this")], &log).unwrap();
        assert!(process.wait_gone(Duration::from_secs(5)));
        assert_eq!(fs::read_to_string(&log).unwrap(), "ONLY=this\n");
    }

    #[test]
    fn a_recycled_number_is_neither_alive_nor_signalled() {
        let own = ProcessId::own();
        let former = ProcessId { pid: own.pid, start: "earlier/1".into() };
        assert!(own.is_alive() && !former.is_alive());
        former.signal(Signal::KILL);
        assert!(former.wait_gone(Duration::ZERO));
    }
}
