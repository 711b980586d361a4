//! The faults, one per row of the table.

use std::fmt;

use evenkeel_test_kit::Service;

/// What is done to a service, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The service it is done to.
    pub service: Service,
    /// What is done.
    pub action: Action,
    /// Where.
    pub place: Place,
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
    /// It stands still in a start, while another attempt asks another process for the target.
    Rival,
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

/// The effects of the services, and which occurrences of them are on the path of one execution.
const EFFECTS: [(Service, &str, &[u32]); 15] = [
    (Service::Controller, "finalizer", &[1]),
    (Service::Controller, "start", &[1]),
    (Service::Controller, "status", &[1, 2, 3]),
    (Service::Controller, "audit", &[1, 2]),
    (Service::Controller, "release", &[1]),
    (Service::Controller, "finalizer_remove", &[1]),
    (Service::Executor, READ, &[1]),
    (Service::Executor, "lease", &[1]),
    (Service::Executor, "create", &[1]),
    (Service::Executor, "mark", &[1]),
    (Service::Executor, "golive", &[1]),
    (Service::Executor, "release.lease", &[1]),
    (Service::Executor, "release.delete", &[1]),
    (Service::Executor, CANCEL, &[1]),
    (Service::Audit, "commit", &[1, 2]),
];

/// The effect that only an execution which is cancelled has.
const CANCEL: &str = "cancel";

/// The reading of the lock, which only the start on a target that was used before begins with.
const READ: &str = "read";

/// The effects of a start, in order.
const START: [&str; 5] = [READ, "lease", "create", "mark", "golive"];

impl Fault {
    /// Every fault there is.
    pub fn all() -> Vec<Self> {
        let at_points = EFFECTS.into_iter().flat_map(|(service, effect, times)| {
            times.iter().flat_map(move |time| at(service, effect, *time))
        });
        let anywhere =
            Service::ALL.map(|service| Self { service, action: Action::Kill, place: Place::Anywhere(4) });
        let in_starts = [Action::Rival, Action::Release].into_iter().flat_map(|action| {
            START.into_iter().flat_map(move |effect| {
                let place = move |after| Place::Point { effect, after, time: 1 };
                [false, true].map(|after| Self { service: Service::Executor, action, place: place(after) })
            })
        });
        at_points.chain(anywhere).chain(in_starts).collect()
    }

    /// Whether it is about attempts that compete, and not about one execution.
    pub fn is_about_rivals(&self) -> bool {
        matches!(self.action, Action::Rival | Action::Release)
    }

    /// Whether the run is live when the service stands still here.
    pub fn is_when_live(&self) -> bool {
        matches!(self.place, Place::Point { effect: "golive", after: true, .. })
    }

    /// Whether its target was used before.
    pub fn is_on_used_target(&self) -> bool {
        matches!(self.place, Place::Point { effect: READ, .. })
    }

    /// Whether its execution is cancelled while it runs.
    pub fn is_in_cancel(&self) -> bool {
        matches!(self.place, Place::Point { effect: CANCEL, .. })
    }

    /// Whether it comes just after an effect.
    pub fn is_after(&self) -> bool {
        matches!(self.place, Place::Point { after: true, .. })
    }

    /// What `EVENKEEL_FAILPOINTS` has to be for it; empty when it needs none.
    pub fn failpoint(&self) -> String {
        let action = if self.action == Action::Kill { "kill" } else { "stop" };
        match self.place {
            Place::Point { time, .. } => format!("{}@{time}={action}", self.point()),
            Place::Anywhere(_) => String::new(),
        }
    }

    /// A name for objects and directories, unique among the faults.
    pub fn slug(&self) -> String {
        let action = match self.action {
            Action::Kill => "kill",
            Action::Pause => "pause",
            Action::Takeover => "takeover",
            Action::Rival => "rival",
            Action::Release => "release",
        };
        let place = match self.place {
            Place::Point { time, .. } => format!("{}-{time}", self.point()),
            Place::Anywhere(_) => format!("{}-anywhere", self.service),
        };
        format!("{place}-{action}").replace(['.', '_'], "-")
    }

    fn point(&self) -> String {
        match self.place {
            Place::Point { effect, after, .. } => {
                format!("{}.{effect}.{}", self.service, if after { "after" } else { "before" })
            }
            Place::Anywhere(_) => self.service.name().to_owned(),
        }
    }
}

fn at(service: Service, effect: &'static str, time: u32) -> impl Iterator<Item = Fault> {
    let actions: &[Action] = match service {
        // There is one audit log, and one process that writes it.
        Service::Audit => &[Action::Kill, Action::Pause],
        Service::Executor | Service::Controller => &[Action::Kill, Action::Pause, Action::Takeover],
    };
    [false, true].into_iter().flat_map(move |after| {
        actions.iter().map(move |action| Fault {
            service,
            action: *action,
            place: Place::Point { effect, after, time },
        })
    })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Point { time: 1, .. } => self.point(),
            Place::Point { time, .. } => format!("{} (no. {time})", self.point()),
            Place::Anywhere(count) => format!("{} at {count} random moments", self.service),
        };
        let action = match self.action {
            Action::Kill => "killed",
            Action::Pause => "paused",
            Action::Takeover => "paused, another takes over",
            Action::Rival => "paused, a rival asks",
            Action::Release => "paused, released meanwhile",
        };
        f.pad(&format!("{place}, {action}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_that_an_object_can_have() {
        let all = Fault::all();
        let slugs: BTreeSet<String> = all.iter().map(Fault::slug).collect();
        assert_eq!(slugs.len(), all.len());
        assert!(slugs.iter().all(|slug| slug.len() < 60 && !slug.contains(['.', '_', ' ', '@'])));
    }

    #[test]
    fn a_failpoint_is_named_as_the_services_name_it() {
        let fault = Fault {
            service: Service::Controller,
            action: Action::Takeover,
            place: Place::Point { effect: "finalizer_remove", after: true, time: 1 },
        };
        assert_eq!(fault.failpoint(), "controller.finalizer_remove.after@1=stop");
    }
}
