//! One target, several locks: what they say together.

use std::time::Duration;

use evenkeel_core::{
    conditions::Millis,
    facts::{Lock, RunState},
    gate,
    plan::Reading,
};

/// Another executor has the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Who holds it there.
    pub(super) holder: String,
}

/// Whether an executor has the target: by a run, or by a lock that is not left behind. What was
/// begun under a lock left behind cannot go on once the token has grown.
pub(super) fn taken(lock: &Lock, start_timeout: Duration, now: Millis) -> Option<Taken> {
    if let Some(run) = lock.run.as_ref().filter(|run| run.state != RunState::Inert) {
        let holder = lock.holder.as_ref().unwrap_or(&run.owner);
        return Some(Taken { holder: holder.to_string() });
    }
    let holder = lock.holder.as_ref()?;
    let is_left = gate::is_left_behind(lock.held_since.unwrap_or(now), start_timeout, now);
    (!is_left).then(|| Taken { holder: holder.to_string() })
}

/// The lock as the execution `uid` has to see it, whose engine is at executor `own`. The token is
/// that of its own executor, for the start goes there; the holder may be that of another. An
/// executor that was not read counts unless `passes_over` lets it.
pub(super) fn combine(
    own: Option<usize>,
    uid: &str,
    readings: &[Reading<Lock>],
    passes_over: impl Fn(usize, &str) -> Result<(), String>,
) -> Reading<Lock> {
    // Wherever its run is, it is there.
    if let Some(lock) = readings.iter().filter_map(found).find(|lock| lock.launched_run(uid).is_some()) {
        return Reading::Found(lock.clone());
    }
    // Without a place for its engine there is nothing to read; the start says why.
    let Some(own) = own else { return Reading::Found(Lock::default()) };
    let lock = match readings.get(own) {
        Some(Reading::Found(lock)) => lock,
        Some(other) => return other.clone(),
        None => return Reading::Unread,
    };
    let mut elsewhere = None;
    for (which, reading) in readings.iter().enumerate().filter(|(which, _)| *which != own) {
        match reading {
            Reading::Unavailable(why) => {
                if let Err(why) = passes_over(which, why) {
                    return Reading::Unavailable(why);
                }
            }
            Reading::Found(other) if is_used(other) => _ = elsewhere.get_or_insert(other),
            Reading::Found(_) | Reading::Unread | Reading::Absent => {}
        }
    }
    let Some(other) = elsewhere else { return Reading::Found(lock.clone()) };
    let holder = other.holder.clone().or_else(|| other.run.as_ref().map(|run| run.owner.clone()));
    Reading::Found(Lock { holder, held_since: other.held_since, run: other.run.clone(), ..lock.clone() })
}

fn is_used(lock: &Lock) -> bool {
    lock.holder.is_some() || lock.run.as_ref().is_some_and(|run| run.state != RunState::Inert)
}

fn found(reading: &Reading<Lock>) -> Option<&Lock> {
    match reading {
        Reading::Found(lock) => Some(lock),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_core::facts::{Facts, Owner};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn owner(uid: &str) -> Owner {
        Owner { namespace: "ops".to_owned(), name: format!("name-{uid}"), uid: uid.to_owned() }
    }

    fn free(token: i64) -> Reading<Lock> {
        Reading::Found(Lock { token, ..Lock::default() })
    }

    fn held(token: i64, uid: &str, state: Option<RunState>) -> Reading<Lock> {
        let run = state.map(|state| Facts { owner: owner(uid), state, ..Facts::default() });
        Reading::Found(Lock { token, holder: Some(owner(uid)), held_since: Some(0), run, ..Lock::default() })
    }

    fn away() -> Reading<Lock> {
        Reading::Unavailable("UNAVAILABLE".to_owned())
    }

    fn seen(own: Option<usize>, readings: &[Reading<Lock>]) -> Lock {
        match combine(own, "me", readings, |_, _| Ok(())) {
            Reading::Found(lock) => lock,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_token_is_that_of_the_own_executor_and_the_holder_is_that_of_whoever_has_the_target() {
        assert_eq!(seen(Some(1), &[free(3), free(5)]), Lock { token: 5, ..Lock::default() });
        let lock = seen(Some(1), &[held(3, "other", Some(RunState::Running)), free(5)]);
        assert_eq!((lock.token, lock.holder), (5, Some(owner("other"))));
        assert!(lock.run.is_some());
        let finished = seen(Some(0), &[free(1), held(9, "other", Some(RunState::Failed))]);
        assert_eq!(
            (finished.token, finished.holder),
            (1, Some(owner("other"))),
            "its outcome is not released"
        );
    }

    #[test]
    fn a_run_of_its_own_is_found_wherever_it_is() {
        let lock = seen(Some(0), &[free(3), held(5, "me", Some(RunState::Running))]);
        assert_eq!((lock.token, lock.run.unwrap().owner), (5, owner("me")));
    }

    #[test]
    fn whoever_cannot_be_read_counts_unless_nothing_can_be_there() {
        assert_eq!(combine(Some(0), "me", &[away(), free(1)], |_, _| Ok(())), away());
        let refuse = |which: usize, why: &str| Err(format!("{why} from {which}"));
        let reading = combine(Some(0), "me", &[free(1), away()], refuse);
        assert_eq!(reading, Reading::Unavailable("UNAVAILABLE from 1".to_owned()));
        assert_eq!(seen(Some(0), &[free(1), away()]).token, 1);
    }

    #[test]
    fn a_target_is_taken_by_a_run_and_by_a_lock_that_is_not_left_behind() {
        let of = |reading: Reading<Lock>, now| taken(found(&reading).unwrap(), TIMEOUT, now);
        assert_eq!(of(free(1), 0), None);
        assert!(of(held(1, "a", Some(RunState::Succeeded)), 99_000).is_some());
        assert_eq!(of(held(1, "a", None), 29_999), Some(Taken { holder: "ops/name-a".to_owned() }));
        assert_eq!(of(held(1, "a", Some(RunState::Inert)), 30_000), None);
        assert!(of(held(1, "a", None), -5_000).is_some(), "clocks differ");
    }
}
