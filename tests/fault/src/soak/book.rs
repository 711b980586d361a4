//! What becomes of executions, kept through one watch: also of those that are gone meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::evidence::holds;
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

/// An execution as it was last seen.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) object: WorkflowExecution,
    pub(super) is_gone: bool,
    ended: Option<Instant>,
    released: Option<Instant>,
}

impl Page {
    fn new(object: WorkflowExecution) -> Self {
        Self { object, is_gone: false, ended: None, released: None }
    }

    pub(super) fn phase(&self) -> &str {
        self.object.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase(), "Completed" | "Failed")
    }

    pub(super) fn is_settled(&self) -> bool {
        self.has_ended() && holds(&self.object, "Released") && holds(&self.object, "AuditRecorded")
    }

    fn turn(&mut self, object: WorkflowExecution) {
        self.object = object;
        let now = Instant::now();
        if self.has_ended() {
            self.ended.get_or_insert(now);
        }
        if self.has_ended() && holds(&self.object, "Released") {
            self.released.get_or_insert(now);
        }
    }
}

type Pages = BTreeMap<String, Page>;

/// All executions there were since it was begun.
pub(super) struct Book {
    pages: watch::Receiver<Pages>,
    task: JoinHandle<()>,
}

impl Book {
    /// Begins.
    pub(super) fn follow(executions: Api<WorkflowExecution>) -> Self {
        let (sender, pages) = watch::channel(Pages::new());
        let task = tokio::spawn(async move {
            let mut events =
                watcher::watcher(executions, watcher::Config::default()).default_backoff().boxed();
            let mut listed = BTreeSet::new();
            while let Some(event) = events.next().await {
                // A watch that broke begins anew by itself.
                if let Ok(event) = event {
                    sender.send_modify(|pages| note(pages, &mut listed, event));
                }
            }
        });
        Self { pages, task }
    }

    /// Waits until this is so of an execution. What was last seen of it may be its deletion.
    pub(super) async fn until(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        met: impl Fn(&Page) -> bool,
    ) -> anyhow::Result<Page> {
        let mut pages = self.pages.clone();
        let waited = pages.wait_for(|all| all.get(name).is_some_and(&met));
        if let Ok(all) = tokio::time::timeout(limit, waited).await {
            return all?.get(name).cloned().context("it was there");
        }
        let all = self.pages.borrow();
        let status = all.get(name).map(|page| (page.is_gone, &page.object.status));
        anyhow::bail!("waited {limit:.0?} for {what} of {name}; it was last seen as {status:?}")
    }

    /// Waits until no execution is left.
    pub(super) async fn all_gone(&self, limit: Duration) -> anyhow::Result<()> {
        let mut pages = self.pages.clone();
        let gone = pages.wait_for(|all| all.values().all(|page| page.is_gone));
        if tokio::time::timeout(limit, gone).await.is_ok() {
            return Ok(());
        }
        let all = self.pages.borrow();
        let left: Vec<_> = all.iter().filter(|(_, page)| !page.is_gone).map(|(name, _)| name).collect();
        anyhow::bail!("after {limit:?} these executions are still there: {left:?}")
    }

    /// How many there are now.
    pub(super) fn count(&self) -> usize {
        self.pages.borrow().values().filter(|page| !page.is_gone).count()
    }

    /// How long after its end each one was released: those that ended before a moment, and the others.
    pub(super) fn lags(&self, moment: Instant) -> [Vec<Duration>; 2] {
        let mut lags = [Vec::new(), Vec::new()];
        for page in self.pages.borrow().values() {
            if let (Some(ended), Some(released)) = (page.ended, page.released) {
                lags[usize::from(ended >= moment)].push(released - ended);
            }
        }
        for some in &mut lags {
            some.sort();
        }
        lags
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn note(pages: &mut Pages, listed: &mut BTreeSet<String>, event: Event<WorkflowExecution>) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(object) | Event::Apply(object) => {
            listed.insert(object.name_any());
            turn(pages, object);
        }
        Event::InitDone => {
            let missing = pages.iter_mut().filter(|(name, _)| !listed.contains(*name));
            missing.for_each(|(_, page)| page.is_gone = true);
        }
        Event::Delete(object) => {
            let name = object.name_any();
            turn(pages, object);
            if let Some(page) = pages.get_mut(&name) {
                page.is_gone = true;
            }
        }
    }
}

fn turn(pages: &mut Pages, object: WorkflowExecution) {
    let name = object.name_any();
    pages.entry(name).or_insert_with(|| Page::new(object.clone())).turn(object);
}
