//! Executions, an executor, an audit log and a controller that crashes, pauses and repeats itself:
//! whatever happens, the invariants hold after every step, and when the world calms down everything
//! ends or says what it waits for.

use proptest::prelude::*;

use self::world::World;
use crate::phase::Phase;

mod invariants;
mod world;

const EXECUTIONS: usize = 5;
const TARGETS: usize = 2;

#[derive(Clone, Debug)]
enum Action {
    /// Reconciles, dying after so many steps.
    Reconcile {
        who: usize,
        steps: usize,
    },
    /// Plans one step and is paused before it acts.
    Pause {
        who: usize,
    },
    /// The paused one goes on, however old its plan is.
    Resume,
    /// A start that was sent once arrives again.
    Repeat {
        which: usize,
    },
    /// The run on a target ends.
    End {
        target: usize,
        well: bool,
    },
    /// Somebody removes the run on a target.
    Remove {
        target: usize,
    },
    Delete {
        who: usize,
    },
    /// Somebody clears the target after it, if there is anything to clear.
    Clear {
        who: usize,
    },
    /// Somebody wants it to end before its time.
    Cancel {
        who: usize,
    },
    /// The executor refuses the next start of it.
    Refuse {
        who: usize,
    },
    /// The history is not known, or is again.
    History {
        known: bool,
    },
    /// Somebody writes a phase by hand.
    Edit {
        who: usize,
        phase: Phase,
    },
    Deliver {
        who: usize,
    },
    Executor {
        up: bool,
    },
    Audit {
        up: bool,
    },
    Advance {
        seconds: i64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let who = 0..EXECUTIONS;
    let target = 0..TARGETS;
    prop_oneof![
        8 => (who.clone(), 1..9usize).prop_map(|(who, steps)| Action::Reconcile { who, steps }),
        2 => who.clone().prop_map(|who| Action::Pause { who }),
        2 => Just(Action::Resume),
        2 => (0..6usize).prop_map(|which| Action::Repeat { which }),
        3 => (target.clone(), any::<bool>()).prop_map(|(target, well)| Action::End { target, well }),
        1 => target.prop_map(|target| Action::Remove { target }),
        1 => who.clone().prop_map(|who| Action::Delete { who }),
        2 => who.clone().prop_map(|who| Action::Clear { who }),
        1 => who.clone().prop_map(|who| Action::Cancel { who }),
        1 => who.clone().prop_map(|who| Action::Refuse { who }),
        1 => any::<bool>().prop_map(|known| Action::History { known }),
        1 => (who.clone(), 0..Phase::ALL.len())
            .prop_map(|(who, at)| Action::Edit { who, phase: Phase::ALL[at] }),
        3 => who.prop_map(|who| Action::Deliver { who }),
        1 => any::<bool>().prop_map(|up| Action::Executor { up }),
        1 => any::<bool>().prop_map(|up| Action::Audit { up }),
        3 => (1..200i64).prop_map(|seconds| Action::Advance { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_launches_twice_and_everything_ends(
        actions in proptest::collection::vec(action(), 1..80)
    ) {
        let mut world = World::new();
        for action in &actions {
            world.step(action);
            world.check();
        }
        world.calm_down();
    }
}

#[test]
fn an_undisturbed_execution_is_stored_three_times() {
    let mut world = World::new();
    let mut writes = 0;
    for _ in 0..20 {
        let before = world.executions[0].version;
        let accepted = world.executions[0].record.has_finalizer;
        world.reconcile(0, 10);
        let accepting = u64::from(!accepted && world.executions[0].record.has_finalizer);
        writes += world.executions[0].version - before - accepting;
        world.step(&Action::End { target: 0, well: true });
        world.check();
        world.deliver(0);
        world.now += 61_000;
    }
    assert!(world.executions[0].record.is_settled());
    assert_eq!(writes, 3);
}
