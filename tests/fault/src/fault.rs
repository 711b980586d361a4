//! One fault: what is done to which service, where, and in the course of which story.

use std::fmt;

use evenkeel_test_kit::Service;

use crate::story::Story;

/// What is done to a service, and where. One per row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The service it is done to.
    pub service: Service,
    /// What is done.
    pub action: Action,
    /// Where.
    pub place: Place,
    /// What goes on meanwhile.
    pub story: Story,
    /// What runs the execution.
    pub engine: Engine,
    /// What runs the other attempt, if there is one.
    pub rival: Engine,
}

/// What runs workflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Kubernetes Jobs.
    Job,
    /// Tekton's pipelines.
    Tekton,
}

impl Engine {
    /// As executions name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Tekton => "tekton",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is killed and started again.
    Kill,
    /// It stands still for longer than the start timeout, and goes on.
    Pause,
    /// It stands still while another process of the service takes its place, and goes on when
    /// everything is over.
    Takeover,
    /// It is killed and stays away; a replica that stood by all the time leads instead.
    Failover,
    /// It goes on beside another process of the service, and both act on everything.
    Both,
    /// It stands still in a start, while another attempt asks another process for the target.
    Rival,
    /// It is killed in a start. Another attempt asks another process for the target, and only then is
    /// it started again and asked to go on.
    Heir,
    /// It stands still in a start, while another process releases the attempt.
    Release,
}

/// Where on the path of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At one of its failpoints.
    Point {
        /// The effect, without the service's name.
        effect: &'static str,
        /// Just after the effect, not just before.
        after: bool,
        /// The how manieth time it gets there.
        time: u32,
    },
    /// At this many random moments.
    Anywhere(u32),
}

/// The effect that only an execution which is cancelled has.
pub(crate) const CANCEL: &str = "cancel";
/// The making of the leader's Lease, which only the first controller of a namespace does.
pub(crate) const CREATE_LEASE: &str = "lease.create";
/// The taking of the leader's Lease, which a controller does before it can do anything else.
pub(crate) const ACQUIRE: &str = "lease.acquire";
/// The giving up of that Lease, which a leader does when it is asked to end.
pub(crate) const GIVE_UP: &str = "lease.give_up";

impl Fault {
    /// Whether it is about attempts that compete, and not about one execution.
    pub fn is_about_rivals(&self) -> bool {
        matches!(self.action, Action::Rival | Action::Heir | Action::Release)
    }

    /// Whether it takes a cluster with Tekton.
    pub fn needs_tekton(&self) -> bool {
        [self.engine, self.rival].contains(&Engine::Tekton)
    }

    /// Whether the run is live when the service stands still here.
    pub fn is_when_live(&self) -> bool {
        self.is_at("golive") && self.is_after()
    }

    /// Whether it comes before the controller can do anything else, being ready included.
    pub fn is_at_once(&self) -> bool {
        self.is_at(ACQUIRE) || self.is_first_of_all()
    }

    /// Whether there must not have been a leader before.
    pub fn is_first_of_all(&self) -> bool {
        self.is_at(CREATE_LEASE)
    }

    /// Whether it comes only when the service is asked to end.
    pub fn is_at_end(&self) -> bool {
        self.is_at(GIVE_UP)
    }

    /// Whether it comes just after an effect.
    pub fn is_after(&self) -> bool {
        matches!(self.place, Place::Point { after: true, .. })
    }

    fn is_at(&self, which: &str) -> bool {
        matches!(self.place, Place::Point { effect, .. } if effect == which)
    }

    /// The service whose failpoint it needs. A cancel of the controller is the executor's doing: it
    /// is held there while the controller, which waits for the answer, is struck.
    pub fn armed(&self) -> Service {
        if self.is_at(CANCEL) { Service::Executor } else { self.service }
    }

    /// What `EVENKEEL_FAILPOINTS` has to be for it; empty when it needs none.
    pub fn failpoint(&self) -> String {
        let action = if self.is_killed() { "kill" } else { "stop" };
        match self.place {
            Place::Point { time, .. } => format!("{}@{time}={action}", self.point(self.armed())),
            Place::Anywhere(_) => String::new(),
        }
    }

    /// Whether the service ends at its failpoint.
    pub fn is_killed(&self) -> bool {
        matches!(self.action, Action::Kill | Action::Failover | Action::Heir) && self.armed() == self.service
    }

    /// The settings that every process of the service has for it, beside those of its lane.
    pub fn settings(&self) -> Vec<(&'static str, &'static str)> {
        let alone = (self.action == Action::Both).then_some(("EVENKEEL_LEADER_ELECTION", "false"));
        self.story.settings().iter().copied().chain(alone).collect()
    }

    /// A name for objects and directories, unique among the faults.
    pub fn slug(&self) -> String {
        let action = match self.action {
            Action::Kill => "kill",
            Action::Pause => "pause",
            Action::Takeover => "takeover",
            Action::Failover => "failover",
            Action::Both => "both",
            Action::Rival => "rival",
            Action::Heir => "heir",
            Action::Release => "release",
        };
        let place = match self.place {
            Place::Point { time, .. } => format!("{}-{time}", self.point(self.service)),
            Place::Anywhere(_) => format!("{}-anywhere", self.service),
        };
        let parts = [vec![place.as_str(), action], self.tags()].concat();
        parts.join("-").replace(['.', '_'], "-")
    }

    /// Words for what is not as it is in most rows.
    fn tags(&self) -> Vec<&'static str> {
        let engines: &[Engine] = match (self.engine, self.rival) {
            (Engine::Job, Engine::Job) => &[],
            (Engine::Tekton, Engine::Tekton) => &[Engine::Tekton],
            (Engine::Tekton, Engine::Job) => &[Engine::Tekton, Engine::Job],
            (Engine::Job, Engine::Tekton) => &[Engine::Job, Engine::Tekton],
        };
        self.story.tag().into_iter().chain(engines.iter().map(|engine| engine.name())).collect()
    }

    fn point(&self, service: Service) -> String {
        match self.place {
            Place::Point { effect, after, .. } => {
                format!("{service}.{effect}.{}", if after { "after" } else { "before" })
            }
            Place::Anywhere(_) => service.name().to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Point { time: 1, .. } => self.point(self.service),
            Place::Point { time, .. } => format!("{} (no. {time})", self.point(self.service)),
            Place::Anywhere(count) => format!("{} at {count} random moments", self.service),
        };
        let action = match self.action {
            Action::Kill => "killed",
            Action::Pause => "paused",
            Action::Takeover => "paused, another takes over",
            Action::Failover => "killed, a standby leads",
            Action::Both if matches!(self.place, Place::Anywhere(_)) => "killed, two act",
            Action::Both => "paused, then two act",
            Action::Rival => "paused, a rival asks",
            Action::Heir => "killed, a rival asks",
            Action::Release => "paused, released meanwhile",
        };
        let told = self.tags().join(", ");
        let told = if told.is_empty() { told } else { format!(" ({told})") };
        f.pad(&format!("{place}, {action}{told}"))
    }
}
