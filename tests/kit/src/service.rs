//! One service as a process of its own: started, killed, paused and started again at will.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use evenkeel_cluster::process::{self, ProcessId};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::http;

const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A service that runs as a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Service {
    /// The audit log.
    Audit,
    /// The executor.
    Executor,
    /// The controller.
    Controller,
}

impl Service {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 3] = [Self::Audit, Self::Executor, Self::Controller];

    /// Its name, such as `controller`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Executor => "executor",
            Self::Controller => "controller",
        }
    }

    /// Its name in capitals, as in the names of environment variables.
    pub(crate) fn variable(self, rest: &str) -> String {
        format!("EVENKEEL_{}_{rest}", self.name().to_uppercase())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Environment variables of a process.
pub type Variables = BTreeMap<String, String>;

/// One service of an environment.
pub struct ServiceProcess {
    service: Service,
    variables: Variables,
    admin: String,
    dir: PathBuf,
}

/// What `<service>.json` remembers.
#[derive(Serialize, Deserialize)]
struct Record {
    process: ProcessId,
    /// Of the program and its variables, to see whether a running process is as it should be.
    fingerprint: String,
}

impl ServiceProcess {
    pub(crate) fn new(service: Service, variables: Variables, admin: String, dir: &Path) -> Self {
        Self { service, variables, admin, dir: dir.to_owned() }
    }

    /// The same with another directory and some variables set anew: one more process of the service.
    pub(crate) fn moved(self, dir: &Path, anew: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut variables = self.variables;
        variables.extend(anew);
        Self { variables, dir: dir.to_owned(), ..self }
    }

    /// Which service it is.
    pub fn service(&self) -> Service {
        self.service
    }

    /// The file its output goes to.
    pub fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.service))
    }

    /// URL of the admin port.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// Number of the running process, if it runs.
    pub fn pid(&self) -> Option<i32> {
        self.running().map(|process| process.pid())
    }

    /// Starts it with `extra` variables beside its own, such as `EVENKEEL_FAILPOINTS`.
    pub fn start(&self, extra: &[(&str, &str)]) -> anyhow::Result<()> {
        ensure!(self.running().is_none(), "{} runs already", self.service);
        if let Some(before) = self.record() {
            // It may look dead while its last threads still hold its ports.
            before.process.wait_gone(STOP_LIMIT);
        }
        let own = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut command = Command::new(self.program()?);
        // It sees its own variables and none of ours.
        command.env_clear().envs(own.chain(extra.iter().copied()));
        let process = process::spawn(&mut command, &self.log())?;
        let fingerprint = self.fingerprint(extra)?;
        serde_json::to_writer(File::create(self.record_path())?, &Record { process, fingerprint })?;
        Ok(())
    }

    /// Waits until it says it is ready. An error when it ends first, with the end of its log.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let url = format!("{}/readyz", self.admin);
        loop {
            let why = match http::get(&url).await {
                Ok((200, _)) => return Ok(()),
                Ok((_, body)) => body,
                Err(error) => format!("{error:#}"),
            };
            if self.running().is_none() {
                bail!("{} ended; its log {} ends:\n{}", self.service, self.log().display(), self.log_tail());
            }
            if begun.elapsed() > READY_LIMIT {
                let tail = self.log_tail();
                bail!("{} is not ready after {READY_LIMIT:?} ({why}); its log ends:\n{tail}", self.service);
            }
            // Nobody can tell before the port is open.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether it runs as it should: alive, with these variables and this very program.
    pub(crate) fn is_current(&self) -> bool {
        let wanted = self.fingerprint(&[]).ok();
        self.running().is_some() && self.record().map(|record| record.fingerprint) == wanted
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&self) {
        if let Some(process) = self.running() {
            process.kill();
        }
    }

    /// Asks it to end and waits until it has; kills it when it does not.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let Some(process) = self.running() else { return Ok(()) };
        process.signal(Signal::TERM);
        // A paused process must go on to see it.
        process.signal(Signal::CONT);
        let name = self.service;
        tokio::task::spawn_blocking(move || {
            if process.wait_gone(STOP_LIMIT) {
                return Ok(());
            }
            process.kill();
            bail!("{name} did not end within {STOP_LIMIT:?} and was killed")
        })
        .await?
    }

    /// Stops it in its tracks: it keeps its connections and answers nothing.
    pub fn pause(&self) {
        if let Some(process) = self.running() {
            process.signal(Signal::STOP);
        }
    }

    /// Lets it go on after a pause.
    pub fn resume(&self) {
        if let Some(process) = self.running() {
            process.signal(Signal::CONT);
        }
    }

    /// Waits until it has ended, as it does at a failpoint.
    pub async fn exited(&self, limit: Duration) -> anyhow::Result<()> {
        let Some(process) = self.running() else { return Ok(()) };
        let gone = tokio::task::spawn_blocking(move || process.wait_gone(limit)).await?;
        ensure!(gone, "{} still runs after {limit:?}; its log ends:\n{}", self.service, self.log_tail());
        Ok(())
    }

    /// Waits until it stands still, as it does at a failpoint that pauses.
    pub async fn paused(&self, limit: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let process =
                self.running().with_context(|| format!("{} ended instead of pausing", self.service))?;
            if process.is_stopped() {
                return Ok(());
            }
            ensure!(begun.elapsed() < limit, "{} was not paused within {limit:?}", self.service);
            // Only its parent is told of a stop, and that may be another process than this.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Stops it if it runs, and starts it again at the same address with `extra` variables.
    pub async fn restart(&self, extra: &[(&str, &str)]) -> anyhow::Result<()> {
        self.stop().await?;
        self.start(extra)
    }

    /// The metrics it shows: name with labels, and value.
    pub async fn metrics(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let text = http::get_ok(&format!("{}/metrics", self.admin)).await?;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Ok(samples.filter_map(|line| line.rsplit_once(' ')).filter_map(sample).collect())
    }

    /// Bytes of memory it occupies.
    pub fn resident_memory(&self) -> anyhow::Result<u64> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.service))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        process::tail(&self.log())
    }

    fn running(&self) -> Option<ProcessId> {
        self.record().map(|record| record.process).filter(ProcessId::is_alive)
    }

    fn record(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.record_path()).ok()?).ok()
    }

    fn record_path(&self) -> PathBuf {
        self.dir.join(format!("{}.json", self.service))
    }

    fn program(&self) -> anyhow::Result<PathBuf> {
        program(&format!("evenkeel-{}", self.service))
    }

    fn fingerprint(&self, extra: &[(&str, &str)]) -> anyhow::Result<String> {
        let program = self.program()?;
        let file = fs::metadata(&program)?;
        let all = format!("{:?}", (&program, file.len(), file.modified()?, &self.variables, extra));
        Ok(hex::encode(Sha256::digest(all)))
    }
}

fn sample((name, value): (&str, &str)) -> Option<(String, f64)> {
    Some((name.to_owned(), value.parse().ok()?))
}

/// The service program next to the running one, which was built with it.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find the running program")?;
    // Test programs are one directory further down.
    let directory =
        own.ancestors().skip(1).find(|dir| !dir.ends_with("deps")).context("a program has a directory")?;
    let path = directory.join(name);
    ensure!(path.is_file(), "{} is not built: run `cargo build --workspace` first", path.display());
    Ok(path)
}
