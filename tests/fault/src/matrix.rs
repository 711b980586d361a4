//! All faults: every effect of every service, and what can happen around it.

use evenkeel_test_kit::Service;

use crate::{
    fault::{ACQUIRE, Action, CANCEL, CREATE_LEASE, Engine, Fault, GIVE_UP, Place},
    story::Story,
};

/// An effect, and which occurrences of it are on the path of one execution.
type Effect = (Service, &'static str, &'static [u32], Story);

/// The effects of the services on the way of an execution that succeeds.
const USUAL: [Effect; 15] = [
    (Service::Controller, "finalizer", &[1], Story::Plain),
    (Service::Controller, "start", &[1], Story::Plain),
    (Service::Controller, "status", &[1, 2, 3], Story::Plain),
    (Service::Controller, "audit", &[1, 2], Story::Plain),
    (Service::Controller, "release", &[1], Story::Plain),
    (Service::Controller, "finalizer_remove", &[1], Story::Plain),
    // The reading of the lock, which only the start on a target that was used before begins with.
    (Service::Executor, READ, &[1], Story::UsedTarget),
    (Service::Executor, "lease", &[1], Story::Plain),
    (Service::Executor, "create", &[1], Story::Plain),
    (Service::Executor, "mark", &[1], Story::Plain),
    (Service::Executor, "golive", &[1], Story::Plain),
    (Service::Executor, "release.lease", &[1], Story::Plain),
    (Service::Executor, "release.delete", &[1], Story::Plain),
    (Service::Executor, CANCEL, &[1], Story::Called),
    (Service::Audit, "commit", &[1, 2], Story::Plain),
];

/// The effects that other executions have.
const OTHER: [Effect; 18] = [
    (Service::Controller, CANCEL, &[1], Story::Cancelled),
    (Service::Executor, CANCEL, &[1], Story::Cancelled),
    // The fence: nothing of an execution that failed before it began may start afterwards.
    (Service::Controller, "release", &[1], Story::Refused),
    (Service::Controller, "status", &[1], Story::Refused),
    (Service::Controller, "release", &[1], Story::Withdrawn),
    (Service::Executor, "release.lease", &[1], Story::Withdrawn),
    (Service::Controller, "audit", &[1], Story::Cleared),
    (Service::Controller, "status", &[1], Story::Cleared),
    (Service::Audit, "commit", &[1], Story::Cleared),
    (Service::Controller, "release", &[1], Story::Deleted),
    (Service::Executor, "end", &[1], Story::Deleted),
    (Service::Executor, "release.delete", &[1], Story::Deleted),
    (Service::Controller, "delete", &[1], Story::Kept),
    (Service::Controller, "finalizer_remove", &[1], Story::Kept),
    (Service::Controller, CREATE_LEASE, &[1], Story::Long),
    (Service::Controller, ACQUIRE, &[1], Story::Long),
    (Service::Controller, "lease.renew", &[2], Story::Long),
    (Service::Controller, GIVE_UP, &[1], Story::Long),
];

/// The first effect of a start on a target that was used before.
const READ: &str = "read";

/// The effects of a start, in order.
const START: [&str; 5] = [READ, "lease", "create", "mark", "golive"];

impl Fault {
    /// Every fault there is.
    pub fn all() -> Vec<Self> {
        let effects = || USUAL.into_iter().chain(OTHER);
        let at_points = effects().flat_map(|effect| at(effect, actions(effect)));
        let killed = Service::ALL.map(|service| anywhere(service, Action::Kill, 4));
        let in_starts = in_starts(&[Action::Rival, Action::Release]);
        // Only the controller has a leader, and nothing of it is left once its Lease is given up.
        let of_leader = effects().filter(|(service, effect, ..)| {
            *service == Service::Controller && ![CREATE_LEASE, ACQUIRE, GIVE_UP, CANCEL].contains(effect)
        });
        let of_leader = of_leader.flat_map(|effect| at(effect, of_two(effect)));
        let two = anywhere(Service::Controller, Action::Both, 3);
        let of_jobs = at_points.chain(killed).chain(in_starts).chain(of_leader).chain([two]);
        of_jobs.chain(with_tekton()).collect()
    }
}

/// What depends on the engine, with Tekton instead of Jobs: what the executor does, and the services
/// that wait for it. Last are starts of one engine whose rival has the other.
fn with_tekton() -> impl Iterator<Item = Fault> {
    let effects = USUAL.into_iter().chain(OTHER).filter(|(service, effect, _, story)| match service {
        Service::Executor => *story != Story::Withdrawn,
        Service::Controller => *effect == CANCEL,
        Service::Audit => false,
    });
    let waiting = ["status", "release"].map(|effect| (Service::Controller, effect, &[1][..], Story::Plain));
    let at_points = effects.chain(waiting).flat_map(|effect| at(effect, actions(effect)));
    let killed = anywhere(Service::Executor, Action::Kill, 4);
    let alone = at_points.chain([killed]).chain(in_starts(&[Action::Rival, Action::Release]));
    let alone = alone.map(|fault| Fault { engine: Engine::Tekton, rival: Engine::Tekton, ..fault });
    let before_jobs = in_starts(&[Action::Rival, Action::Heir]);
    let before_jobs = before_jobs.map(|fault| Fault { engine: Engine::Tekton, ..fault });
    let behind_jobs = in_starts(&[Action::Rival]).map(|fault| Fault { rival: Engine::Tekton, ..fault });
    alone.chain(before_jobs).chain(behind_jobs)
}

/// Every place in a start.
fn in_starts(actions: &'static [Action]) -> impl Iterator<Item = Fault> {
    START.into_iter().flat_map(move |effect| {
        let story = if effect == READ { Story::UsedTarget } else { Story::Plain };
        at((Service::Executor, effect, &[1], story), actions)
    })
}

fn actions((service, effect, ..): Effect) -> &'static [Action] {
    match (service, effect) {
        // There is one audit log, and one process that writes it.
        (Service::Audit, _) => &[Action::Kill, Action::Pause],
        // Somebody has to be there whom it is given up for.
        (_, GIVE_UP) => &[Action::Failover, Action::Takeover],
        _ => &[Action::Kill, Action::Pause, Action::Takeover],
    }
}

/// What two controllers are struck by: without leader election there is no Lease to renew.
fn of_two((_, effect, ..): Effect) -> &'static [Action] {
    if effect == "lease.renew" { &[Action::Failover] } else { &[Action::Failover, Action::Both] }
}

fn at((service, effect, times, story): Effect, actions: &'static [Action]) -> impl Iterator<Item = Fault> {
    times.iter().flat_map(move |time| {
        [false, true].into_iter().flat_map(move |after| {
            let place = Place::Point { effect, after, time: *time };
            actions.iter().map(move |action| of_job(service, *action, place, story))
        })
    })
}

fn anywhere(service: Service, action: Action, count: u32) -> Fault {
    of_job(service, action, Place::Anywhere(count), Story::Plain)
}

fn of_job(service: Service, action: Action, place: Place, story: Story) -> Fault {
    Fault { service, action, place, story, engine: Engine::Job, rival: Engine::Job }
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
        let shown: BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), all.len());
    }

    #[test]
    fn a_failpoint_is_named_as_the_services_name_it() {
        let place = |effect| Place::Point { effect, after: true, time: 1 };
        let fault = |effect, action, story| of_job(Service::Controller, action, place(effect), story);
        let paused = fault("finalizer_remove", Action::Takeover, Story::Plain);
        assert_eq!(paused.failpoint(), "controller.finalizer_remove.after@1=stop");
        let killed = fault("delete", Action::Failover, Story::Kept);
        assert_eq!(killed.failpoint(), "controller.delete.after@1=kill");
        let held = fault(CANCEL, Action::Kill, Story::Cancelled);
        assert_eq!(held.failpoint(), "executor.cancel.after@1=stop", "it is held at the executor");
    }
}
