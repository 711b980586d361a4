//! Processes that outlive whoever started them, and are never mistaken for others.

use std::{
    fs::{self, OpenOptions},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Result};

/// A process, told apart from a later one with the same number by when it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pid: i32,
    /// Boot and clock tick of its start.
    start: String,
}

impl ProcessId {
    /// The live process of this number.
    pub(crate) fn of(pid: i32) -> Option<Self> {
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
        Some((Self { pid, start: format!("{}/{tick}", boot()) }, state))
    }

    /// This very process.
    pub fn own() -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        Self::of(pid).unwrap_or_else(|| Self { pid, start: String::new() })
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it runs, or could run on.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Whether it was stopped in its tracks.
    pub fn is_stopped(&self) -> bool {
        Self::in_any_state(self.pid).is_some_and(|(now, state)| now == *self && state == 'T')
    }

    /// It started since the machine did, so what it made may still be there.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        self.start.strip_prefix(boot()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Signals the process, unless it is gone.
    pub fn signal(&self, signal: Signal) {
        if let Some(handle) = self.handle() {
            // It may end between the two calls; the handle makes that harmless.
            let _ = pidfd_send_signal(handle, signal);
        }
    }

    /// Waits until the process is gone. False when it is still there after `limit`.
    pub fn wait_gone(&self, limit: Duration) -> bool {
        let Some(handle) = self.handle() else { return true };
        let end = Instant::now() + limit;
        let mut ended = [PollFd::new(&handle, PollFlags::IN)];
        loop {
            let rest = Timespec::try_from(end.saturating_duration_since(Instant::now())).ok();
            match poll(&mut ended, rest.as_ref()) {
                // A signal came, of another child that ended say: that says nothing of this one.
                Err(Errno::INTR) => {}
                Ok(1..) => return true,
                Ok(_) | Err(_) => return !self.is_alive(),
            }
        }
    }

    /// Kills the process and waits for its end.
    pub fn kill(&self) {
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

/// Names this boot: ticks count from it.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim().chars().take(8).collect()
    })
}

/// A program and how to start it, kept so that it can be started again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
}

impl Program {
    pub(crate) fn new<A: Into<String>>(path: &Path, args: impl IntoIterator<Item = A>) -> Self {
        Self { path: path.to_owned(), args: args.into_iter().map(Into::into).collect() }
    }

    /// Starts the program, with its output appended to `log`.
    pub(crate) fn spawn(&self, log: &Path) -> Result<ProcessId> {
        let mut command = Command::new(&self.path);
        command.args(&self.args);
        // None of them may find a person's cluster or send spans of its own.
        for name in ["KUBECONFIG", "OTEL_EXPORTER_OTLP_ENDPOINT", "NOTIFY_SOCKET"] {
            command.env_remove(name);
        }
        spawn(&mut command, log)
    }
}

/// Starts a command in its own process group, so that an interrupt at the terminal does not reach
/// it, with its output appended to `log`.
pub fn spawn(command: &mut Command, log: &Path) -> Result<ProcessId> {
    let output = OpenOptions::new().create(true).append(true).open(log);
    let output = output.doing(|| format!("open {}", log.display()))?;
    let errors = output.try_clone().doing(|| format!("open {}", log.display()))?;
    command.process_group(0).current_dir("/");
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = command.spawn().doing(|| format!("start {}", command.get_program().display()))?;
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    // Not collected before this is read, so the number is still its own.
    let id = ProcessId::of(pid).unwrap_or_else(|| ProcessId { pid, start: String::new() });
    // Collect it when it ends: a zombie would keep its number.
    thread::spawn(move || child.wait());
    Ok(id)
}

/// Processes that run one of `programs` with an argument inside `dir`: what an instance started,
/// recorded or not.
pub(crate) fn running_in(dir: &Path, programs: &[&str]) -> Vec<ProcessId> {
    let inside = format!("{}/", dir.display());
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(ProcessId::of)
        .filter(|process| {
            let line = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let mut arguments = line.split('\0');
            let program = arguments.next().and_then(|path| path.rsplit('/').next());
            program.is_some_and(|name| programs.contains(&name)) && arguments.any(|a| a.contains(&inside))
        })
        .collect()
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Looks again and again, each `pause`, until `look` answers or `limit` is over.
pub(crate) fn poll_until<T>(
    limit: Duration,
    pause: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use tokio::signal::unix::{SignalKind, signal};

    use super::*;

    fn sleeper(dir: &Path) -> ProcessId {
        Program::new(Path::new("/bin/sleep"), ["60"]).spawn(&dir.join("log")).unwrap()
    }

    #[test]
    fn a_killed_process_is_gone_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let process = sleeper(dir.path());
        assert!(process.is_alive());
        assert!(!process.wait_gone(Duration::from_millis(10)));
        process.kill();
        assert!(!process.is_alive());
    }

    #[tokio::test]
    async fn a_signal_ends_no_wait() {
        let kinds = [SignalKind::window_change(), SignalKind::user_defined1(), SignalKind::user_defined2()];
        let _handled = kinds.map(|kind| signal(kind).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let process = sleeper(dir.path());
        let waits = thread::spawn({
            let process = process.clone();
            move || process.wait_gone(Duration::from_secs(30))
        });
        // The first is for the main thread. Those that come while it is busy are for any other.
        for _ in 0..5_000 {
            for signal in [Signal::WINCH, Signal::USR1, Signal::USR2] {
                ProcessId::own().signal(signal);
            }
        }
        process.kill();
        assert!(waits.join().unwrap(), "it waited to the end");
    }

    #[test]
    fn a_recycled_number_is_neither_alive_nor_signalled() {
        let dir = tempfile::tempdir().unwrap();
        let process = sleeper(dir.path());
        let former = ProcessId { pid: process.pid, start: "earlier/1".into() };
        assert!(!former.is_alive() && !former.is_of_this_boot());
        assert!(process.is_of_this_boot());
        former.signal(Signal::KILL);
        assert!(former.wait_gone(Duration::ZERO));
        assert!(process.is_alive(), "the later process was not touched");
        process.kill();
    }

    #[test]
    fn a_stopped_process_is_alive_and_seen_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let process = sleeper(dir.path());
        assert!(!process.is_stopped());
        process.signal(Signal::STOP);
        let (limit, pause) = (Duration::from_secs(5), Duration::from_millis(5));
        assert!(poll_until(limit, pause, || process.is_stopped().then_some(())).is_some());
        assert!(process.is_alive());
        process.kill();
        assert!(!process.is_stopped());
    }

    #[test]
    fn processes_are_found_by_the_directory_they_work_in() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        // It has no children, which look like it until they become another program.
        let follower = Program::new(Path::new("/usr/bin/tail"), ["-f", &log.display().to_string()]);
        let process = follower.spawn(&log).unwrap();
        let found = poll_until(Duration::from_secs(5), Duration::from_millis(5), || {
            let found = running_in(dir.path(), &["tail"]);
            (!found.is_empty()).then_some(found)
        });
        assert_eq!(found, Some(vec![process.clone()]));
        assert_eq!(running_in(dir.path(), &["etcd"]), []);
        process.kill();
    }
}
