//! What everything takes at one moment.

use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

use anyhow::Context as _;
use evenkeel_test_kit::ServiceProcess;
use kube::{Client, api::ListParams, core::Request};

use super::scene::Scene;

/// What the services watch, and this program beside them.
const WATCHED: [&str; 5] = ["workflowexecutions", "remediationworkflows", "jobs", "pods", "events"];

/// What one process takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) pid: i32,
    /// All that is resident, in KiB.
    pub(super) resident: u32,
    /// What is the process's own of it, in KiB: without the program and other files.
    pub(super) own: u32,
    /// Open file descriptors.
    pub(super) files: usize,
}

impl Usage {
    /// None while it does not run.
    fn of(process: &ServiceProcess) -> Option<Self> {
        let pid = process.pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Self { pid, resident: kib(&status, "VmRSS:")?, own: kib(&status, "RssAnon:")?, files })
    }

    /// All that is resident, in MiB.
    pub(super) fn resident_mib(&self) -> f64 {
        f64::from(self.resident) / 1024.0
    }

    /// What is its own, in MiB.
    pub(super) fn own_mib(&self) -> f64 {
        f64::from(self.own) / 1024.0
    }
}

fn kib(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// What there is at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Since the beginning.
    pub(super) at: Duration,
    /// By name of the process, in their order.
    pub(super) processes: Vec<(&'static str, Option<Usage>)>,
    /// Open watches at the API server, by resource.
    pub(super) watches: BTreeMap<String, u64>,
    pub(super) executions: usize,
    pub(super) jobs: usize,
    pub(super) pods: usize,
    pub(super) locks: usize,
    pub(super) held: usize,
    /// Leases beside the executions.
    pub(super) leaders: usize,
}

impl Sample {
    pub(super) async fn take(scene: &Scene, at: Duration) -> anyhow::Result<Self> {
        let (environment, all) = (&scene.environment, ListParams::default());
        let processes = scene.processes().map(|(name, process)| (name, Usage::of(process))).to_vec();
        let locks = environment.leases().list(&all).await?.items;
        let is_held = |holder: Option<&str>| holder.is_some_and(|holder| !holder.is_empty());
        let held = locks.iter().filter_map(|lock| lock.spec.as_ref());
        Ok(Self {
            at,
            processes,
            watches: watches(&environment.client()).await?,
            executions: scene.book.count(),
            jobs: environment.jobs().list(&all).await?.items.len(),
            pods: environment.pods().list(&all).await?.items.len(),
            held: held.filter(|lock| is_held(lock.holder_identity.as_deref())).count(),
            locks: locks.len(),
            leaders: scene.leaders().list(&all).await?.items.len(),
        })
    }

    /// All watches together.
    pub(super) fn watch_count(&self) -> u64 {
        self.watches.values().sum()
    }

    pub(super) fn heading() -> String {
        format!(
            "{:>6} {:>5} {:>5} {:>5} {:>6} {:>8}   MiB (own), files of {:<15} {:<15} {:<15} {:<15}",
            "TIME",
            "WFES",
            "JOBS",
            "PODS",
            "LOCKS",
            "WATCHES",
            "controller",
            "controller 2",
            "executor",
            "audit"
        )
    }

    /// One line; a star marks a process that was started again since the sample before.
    pub(super) fn show(&self, before: Option<&Self>) -> String {
        let Self { executions, jobs, pods, locks, held, .. } = self;
        let seconds = self.at.as_secs();
        let locks = format!("{held}/{locks}");
        let mut line = format!(
            "{:>3}:{:02} {executions:>5} {jobs:>5} {pods:>5} {locks:>6} {:>8}   {:<19}",
            seconds / 60,
            seconds % 60,
            self.watch_count(),
            ""
        );
        for (which, (_, usage)) in self.processes.iter().enumerate() {
            let earlier = before.and_then(|before| before.processes.get(which)?.1);
            let text = usage.map_or_else(
                || "away".to_owned(),
                |now| {
                    let is_new = earlier.is_some_and(|earlier| earlier.pid != now.pid);
                    let mark = if is_new { "*" } else { "" };
                    format!("{:.0} ({:.1}), {}{mark}", now.resident_mib(), now.own_mib(), now.files)
                },
            );
            let _ = write!(line, " {text:<15}");
        }
        line
    }
}

/// The watches that the API server serves just now.
async fn watches(client: &Client) -> anyhow::Result<BTreeMap<String, u64>> {
    // A list without parameters asks for the path as it is.
    let request = Request::new("/metrics").list(&ListParams::default())?;
    let text = client.request_text(request).await.context("ask the API server for its metrics")?;
    Ok(read_watches(&text))
}

/// Those in namespaces among them, of what the services watch.
fn read_watches(metrics: &str) -> BTreeMap<String, u64> {
    let mut watches = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("apiserver_longrunning_requests{")) {
        let Some((labels, value)) = line.rsplit_once(' ') else { continue };
        let is_ours = labels.contains("verb=\"WATCH\"") && labels.contains("scope=\"namespace\"");
        let resource = WATCHED.into_iter().find(|name| labels.contains(&format!("resource=\"{name}\"")));
        if let (true, Some(resource), Ok(count)) = (is_ours, resource, value.parse::<u64>()) {
            *watches.entry(resource.to_owned()).or_default() += count;
        }
    }
    watches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_of_others_are_not_counted() {
        let line = |scope: &str, verb: &str, resource: &str, version: &str, value: u32| {
            let labels = format!(
                r#"component="apiserver",group="",resource="{resource}",scope="{scope}",subresource="",verb="{verb}",version="{version}""#
            );
            format!("apiserver_longrunning_requests{{{labels}}} {value}\n")
        };
        let text = [
            "# TYPE apiserver_longrunning_requests gauge\n".to_owned(),
            line("namespace", "WATCH", "jobs", "v1", 2),
            line("namespace", "WATCH", "events", "v1", 1),
            line("namespace", "WATCH", "events", "v1beta1", 3),
            line("cluster", "WATCH", "jobs", "v1", 4),
            line("namespace", "CONNECT", "pods", "v1", 5),
            line("namespace", "WATCH", "configmaps", "v1", 6),
        ];
        let expected = [("events".to_owned(), 4), ("jobs".to_owned(), 2)];
        assert_eq!(read_watches(&text.concat()), BTreeMap::from(expected));
    }
}
