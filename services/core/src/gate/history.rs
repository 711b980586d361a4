//! What happened on a target: derived from the executions that exist, and kept nowhere else.

use std::collections::BTreeSet;

use crate::{
    conditions::{Millis, get, kind, reason},
    phase::Phase,
    plan::{Settings, millis},
    record::Record,
};

/// One execution as a history knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its unique id.
    pub uid: String,
    /// `namespace/name`.
    pub name: String,
    /// When it was created.
    pub created: Millis,
    /// Where it stands.
    pub stands: Stands,
}

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It waits for its start.
    Waiting,
    /// It started.
    Started,
    /// It wants nothing more of the target, and says nothing about it: it is being deleted before its
    /// end, or is in a phase of another release.
    Aside,
    /// It ended.
    Ended {
        /// When.
        at: Millis,
        /// How.
        how: End,
        /// Reason of its failure; empty when it succeeded.
        reason: &'static str,
    },
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Before anything of it ran, because somebody cancelled it.
    Cancelled,
    /// Before anything of it ran.
    NeverRan,
    /// It ran and succeeded.
    Succeeded,
    /// It ran and failed, and somebody looked at the target and cleared it.
    Cleared,
    /// It ran and failed.
    Failed,
}

/// One execution that ended on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// `namespace/name`.
    pub name: String,
    /// When it ended.
    pub at: Millis,
    /// How it ended.
    pub how: End,
    /// Reason of its failure; empty when it succeeded.
    pub reason: &'static str,
}

/// What the gates of one execution need to know of the others on its target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The last one of which anything ran.
    pub last_run: Option<Past>,
    /// The last one that failed before anything of it ran, since the last success.
    pub last_unable: Option<Past>,
    /// How many failed before anything of them ran, since the last success.
    pub unable: u32,
    /// Who comes directly before it, of those who wait: `namespace/name`.
    pub ahead: Option<String>,
    /// Those who have not ended, by uid.
    pub open: BTreeSet<String>,
}

impl Known {
    /// What a history keeps of an execution.
    pub fn of(record: &Record) -> Self {
        Self {
            uid: record.uid.clone(),
            name: format!("{}/{}", record.namespace, record.name),
            created: record.created,
            stands: stands(record),
        }
    }

    /// Its place among those who wait: who came first, and the uid where that is the same second.
    pub fn place(&self) -> (Millis, &str) {
        (self.created, &self.uid)
    }

    /// Whether it waits for its start.
    pub fn is_waiting(&self) -> bool {
        self.stands == Stands::Waiting
    }

    fn past(&self) -> Option<Past> {
        let Stands::Ended { at, how, reason } = self.stands else { return None };
        Some(Past { name: self.name.clone(), at, how, reason })
    }
}

fn stands(record: &Record) -> Stands {
    match record.phase() {
        Some(Phase::Completed | Phase::Failed) => Stands::Ended {
            at: record.status.completion.unwrap_or(record.created),
            how: end(record),
            reason: record.status.failure.as_ref().map_or("", |failure| failure.reason.as_str()),
        },
        None => Stands::Aside,
        Some(_) if record.deleting => Stands::Aside,
        Some(Phase::Pending) if waits_for_the_catalogue(record) => Stands::Aside,
        Some(Phase::Pending) => Stands::Waiting,
        Some(Phase::Running) => Stands::Started,
    }
}

/// As long as nobody can say what it is to run, it keeps nobody else from the target.
fn waits_for_the_catalogue(record: &Record) -> bool {
    get(&record.status.conditions, kind::BLOCKED)
        .is_some_and(|blocked| blocked.status == "True" && blocked.reason == reason::CATALOGUE_UNAVAILABLE)
}

fn end(record: &Record) -> End {
    match (record.phase(), record.was_executed()) {
        (Some(Phase::Completed), _) => End::Succeeded,
        (_, true) if record.clearance().is_some() => End::Cleared,
        (_, true) => End::Failed,
        (_, false) if record.cancelled.is_some() => End::Cancelled,
        (_, false) => End::NeverRan,
    }
}

impl History {
    /// The history of a target as the execution `of` has to see it.
    pub fn new<'a>(of: &Record, on_target: impl Iterator<Item = &'a Known> + Clone) -> Self {
        let own = Known::of(of);
        let others = on_target.filter(|known| known.uid != own.uid);
        let ended = || others.clone().filter_map(Known::past);
        // Times are stored in whole seconds: of what ended in the same one, the worse counts.
        let ran = ended().filter(|past| past.how >= End::Succeeded);
        let success = ended().filter(|past| past.how == End::Succeeded).map(|past| past.at).max();
        let unable =
            ended().filter(|past| past.how == End::NeverRan && success.is_none_or(|at| past.at > at));
        let ahead = others.clone().filter(|known| known.is_waiting() && known.place() < own.place());
        let open = others.clone().filter(|known| matches!(known.stands, Stands::Waiting | Stands::Started));
        Self {
            last_run: ran.max_by(|a, b| (a.at, a.how, &a.name).cmp(&(b.at, b.how, &b.name))),
            last_unable: unable.clone().max_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name))),
            unable: u32::try_from(unable.count()).unwrap_or(u32::MAX),
            ahead: ahead.max_by_key(|known| known.place()).map(|known| known.name.clone()),
            open: open.map(|known| known.uid.clone()).collect(),
        }
    }

    /// Whether a gate would open too early, or stay closed for less, without this execution. The
    /// history must be that of everything on its target.
    pub fn needs(&self, known: &Known, settings: &Settings, now: Millis) -> bool {
        let Stands::Ended { at, how, .. } = known.stands else { return true };
        let is_last_run = self.last_run.as_ref().is_some_and(|last| last.name == known.name);
        let backs_off = |last: &Past| last.at + millis(settings.backoff_max) > now;
        match how {
            End::Cancelled => false,
            End::NeverRan => !settings.backoff.is_zero() && self.last_unable.as_ref().is_some_and(backs_off),
            End::Failed if is_last_run && settings.block => true,
            End::Succeeded | End::Cleared | End::Failed => {
                is_last_run && at + settings.cooldown_millis() > now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::set;
    use crate::record::{Clearance, StoredPhase};

    const ME: &str = "m";

    fn known(uid: &str, stands: Stands) -> Known {
        Known { uid: uid.to_owned(), name: format!("ops/{uid}"), created: 100, stands }
    }

    fn ended(uid: &str, at: Millis, how: End) -> Known {
        known(uid, Stands::Ended { at, how, reason: "" })
    }

    fn history(all: &[Known]) -> History {
        let me = Record { uid: ME.to_owned(), created: 100, ..Record::default() };
        History::new(&me, all.iter())
    }

    fn last_run(all: &[Known]) -> Option<String> {
        history(all).last_run.map(|past| past.name)
    }

    #[test]
    fn the_last_that_ran_is_told_from_what_never_did() {
        assert_eq!(last_run(&[]), None);
        assert_eq!(last_run(&[ended("a", 5, End::NeverRan), ended("b", 6, End::Cancelled)]), None);
        let all = [ended("a", 5, End::Failed), ended("b", 7, End::Succeeded), ended("c", 9, End::NeverRan)];
        assert_eq!(last_run(&all).as_deref(), Some("ops/b"));
    }

    #[test]
    fn of_what_ended_in_the_same_second_the_worse_counts() {
        for hows in
            [[End::Succeeded, End::Failed], [End::Cleared, End::Failed], [End::Succeeded, End::Cleared]]
        {
            let [better, worse] = hows;
            for all in
                [[ended("a", 5, better), ended("b", 5, worse)], [ended("a", 5, worse), ended("b", 5, better)]]
            {
                assert_eq!(history(&all).last_run.unwrap().how, worse, "{all:?}");
            }
        }
    }

    #[test]
    fn failures_before_execution_are_counted_since_the_last_success() {
        let all = [
            ended("a", 1, End::NeverRan),
            ended("b", 2, End::Succeeded),
            ended("c", 3, End::NeverRan),
            ended("d", 4, End::Failed),
            ended("e", 5, End::NeverRan),
            ended("f", 6, End::Cancelled),
        ];
        let seen = history(&all);
        assert_eq!((seen.unable, seen.last_unable.unwrap().name.as_str()), (2, "ops/e"));
        assert_eq!(history(&all[..2]).unable, 0, "a success resets it");
        assert_eq!(history(&all[..1]).unable, 1);
    }

    #[test]
    fn who_came_first_goes_first_and_the_uid_decides_within_a_second() {
        let created = |uid: &str, created, stands| Known { created, ..known(uid, stands) };
        let ahead = |all: &[Known]| history(all).ahead;
        let (waiting, started) = (Stands::Waiting, Stands::Started);
        assert_eq!(ahead(&[created("z", 99, waiting)]).as_deref(), Some("ops/z"));
        assert_eq!(ahead(&[created("a", 100, waiting)]).as_deref(), Some("ops/a"));
        assert_eq!(ahead(&[created("z", 100, waiting), created("a", 101, waiting)]), None);
        assert_eq!(ahead(&[created("a", 99, started), created("b", 99, Stands::Aside)]), None);
        let three = [created("a", 97, waiting), created("b", 99, waiting), created("c", 98, waiting)];
        assert_eq!(ahead(&three).as_deref(), Some("ops/b"), "the one directly before it");
        assert_eq!(ahead(&[created(ME, 100, waiting)]), None, "nobody waits for himself");
    }

    #[test]
    fn how_an_execution_ended_is_read_from_its_record() {
        let failure = crate::record::tests::failed;
        let how = |phase, failure, cleared: bool, cancelled: bool| {
            let mut record = Record { cancelled: cancelled.then(String::new), ..Record::default() };
            record.status.phase = StoredPhase::Known(phase);
            record.status.completion = (phase != Phase::Running).then_some(1);
            let why = ("R", String::new());
            set(
                &mut record.status.conditions,
                kind::EXECUTION_COMPLETE,
                phase == Phase::Completed,
                why,
                1,
                0,
            );
            record.status.failure = failure;
            record.status.clearance =
                cleared.then(|| Clearance { by: "mary".to_owned(), ..Clearance::default() });
            match Known::of(&record).stands {
                Stands::Ended { how, .. } => Some(how),
                _ => None,
            }
        };
        for (phase, ran, cleared, cancelled, expected) in [
            (Phase::Completed, None, false, false, Some(End::Succeeded)),
            (Phase::Completed, None, false, true, Some(End::Succeeded)),
            (Phase::Failed, Some(true), false, false, Some(End::Failed)),
            (Phase::Failed, Some(true), false, true, Some(End::Failed)),
            (Phase::Failed, Some(true), true, false, Some(End::Cleared)),
            (Phase::Failed, Some(false), true, false, Some(End::NeverRan)),
            (Phase::Failed, Some(false), false, true, Some(End::Cancelled)),
            (Phase::Failed, None, false, false, Some(End::NeverRan)),
            (Phase::Running, None, false, false, None),
        ] {
            assert_eq!(how(phase, ran.map(failure), cleared, cancelled), expected, "{phase} {ran:?}");
        }
    }

    #[test]
    fn what_a_gate_still_rests_on_is_needed() {
        let settings = crate::plan::fixtures::settings();
        let needed = |all: &[Known], known: &Known, now| {
            History::new(&Record::default(), all.iter()).needs(known, &settings, now)
        };
        let (failed, success) = (ended("a", 1_000, End::Failed), ended("b", 2_000, End::Succeeded));
        let day = 86_400_000;
        assert!(needed(std::slice::from_ref(&failed), &failed, day), "it blocks");
        assert!(!needed(&[failed.clone(), success.clone()], &failed, day));
        assert!(needed(&[failed, success.clone()], &success, 301_999));
        assert!(!needed(std::slice::from_ref(&success), &success, 302_000), "it has rested");
        let (early, late) = (ended("c", 3_000, End::NeverRan), ended("d", 500_000, End::NeverRan));
        for one in [&early, &late] {
            assert!(
                needed(&[early.clone(), late.clone()], one, 1_099_999),
                "it counts while they are counted"
            );
            assert!(!needed(&[early.clone(), late.clone()], one, 1_100_000));
        }
        assert!(needed(&[], &known("e", Stands::Waiting), day));
    }

    #[test]
    fn who_waits_for_the_catalogue_stands_aside() {
        let mut record = Record::default();
        for (why, stands) in
            [(reason::TARGET_BUSY, Stands::Waiting), (reason::CATALOGUE_UNAVAILABLE, Stands::Aside)]
        {
            set(&mut record.status.conditions, kind::BLOCKED, true, (why, String::new()), 1, 0);
            assert_eq!(Known::of(&record).stands, stands, "{why}");
        }
        let over = (reason::CATALOGUE_UNAVAILABLE, String::new());
        set(&mut record.status.conditions, kind::BLOCKED, false, over, 1, 0);
        assert_eq!(Known::of(&record).stands, Stands::Waiting);
    }

    #[test]
    fn what_has_not_ended_is_open() {
        let all = [
            known("a", Stands::Waiting),
            known("b", Stands::Started),
            known("c", Stands::Aside),
            ended("d", 1, End::Failed),
            known(ME, Stands::Waiting),
        ];
        assert_eq!(history(&all).open.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
