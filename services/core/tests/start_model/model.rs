//! Who does what in which order: starters, releases and the passing of time over one [`World`].

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::iter;
use std::rc::Rc;

use evenkeel_core::release::{self, Release};
use evenkeel_core::start::{self, Rule, Stage, Start};

use crate::search::{Fx, Interner, Key};
use crate::world::{ENGINES, World, drive_release, drive_start};

/// The attempts, by number.
pub(crate) const S: u8 = 0;
pub(crate) const N: u8 = 1;
pub(crate) const M: u8 = 2;
const NAMES: [&str; 3] = ["S", "N", "M"];
/// Engine of each attempt.
pub(crate) const ENGINE: [u8; 3] = [0, 1, 0];

/// One state of everything; machines are numbered by the model.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    world: World,
    starters: [u16; 3],
    releases: [u16; 3],
    launched: [u8; 3],
}

impl State {
    /// The whole state in a few bytes.
    pub(crate) fn key(&self) -> u128 {
        let mut key = Key::default();
        self.world.add_to(&mut key);
        for at in 0..3 {
            key.add(11, self.starters[at]);
            key.add(6, self.releases[at]);
            key.add(2, self.launched[at]);
        }
        key.value()
    }
}

/// A starter: at rest, or in the middle of a try.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Starter {
    tries: u8,
    start: Option<Start<u8, u8>>,
}

/// The release of one attempt.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Releasing {
    NotBegun { cuts: u8 },
    Begun { release: Release<u8, u8>, cuts: u8 },
    Done,
}

/// Who moved: an attempt, and the number of the machine it has after the move.
#[derive(Clone, Copy)]
pub(crate) enum Label {
    Time,
    Deletion,
    Observe(u8, u16),
    Crash(u8, u16),
    Start(u8, u16),
    Release(u8, u16),
}

type Moves = HashMap<(u16, u8, World), Rc<[(u16, World)]>, BuildHasherDefault<Fx>>;

/// The starters, the releases, and the rule left out.
pub(crate) struct Model {
    attempts: [u8; 3],
    missing: Option<Rule>,
    tries: [u8; 3],
    cuts: u8,
    /// Whether somebody may delete runs.
    deletions: bool,
    starters: Interner<Starter>,
    releases: Interner<Releasing>,
    /// Number of the starter that has no try left.
    resting: u16,
    start_moves: Moves,
    release_moves: Moves,
}

impl Model {
    /// Three starters for these attempts, each with one try.
    pub(crate) fn new(attempts: [u8; 3], missing: Option<Rule>) -> Self {
        let mut starters = Interner::new();
        let resting = starters.number(Starter { tries: 0, start: None });
        Self {
            attempts,
            missing,
            tries: [1; 3],
            cuts: 0,
            deletions: false,
            starters,
            releases: Interner::new(),
            resting,
            start_moves: HashMap::default(),
            release_moves: HashMap::default(),
        }
    }

    /// The same with other numbers of tries, and with releases that may be cut short and asked for again.
    pub(crate) fn with(self, tries: [u8; 3], cuts: u8) -> Self {
        Self { tries, cuts, ..self }
    }

    /// The same with somebody who deletes runs.
    pub(crate) fn with_deletions(self) -> Self {
        Self { deletions: true, ..self }
    }

    pub(crate) fn first(&mut self) -> State {
        let starters = self.tries.map(|tries| self.starters.number(Starter { tries, start: None }));
        let releases = [self.releases.number(Releasing::NotBegun { cuts: self.cuts }); 3];
        State { world: World::default(), starters, releases, launched: [0; 3] }
    }

    /// What is wrong with this state.
    pub(crate) fn violation(&self, state: &State) -> Option<&'static str> {
        let mut live = state.world.owners(Stage::Live);
        if live.clone().count() > 1 {
            return Some("I1: two runs are live");
        }
        if state.launched.iter().any(|launched| *launched > 1) {
            return Some("I2: one attempt went live twice");
        }
        let is_done = |owner: u8| *self.releases.value(state.releases[usize::from(owner)]) == Releasing::Done;
        live.any(is_done).then_some("a run is live after its release")
    }

    /// Everything that can happen next.
    pub(crate) fn successors(&mut self, state: &State, out: &mut Vec<(Label, State)>) {
        state.world.passing_time(|world| out.push((Label::Time, State { world, ..*state })));
        if self.deletions {
            state.world.deleting(|world| out.push((Label::Deletion, State { world, ..*state })));
        }
        for attempt in [S, N, M] {
            if self.attempts.contains(&attempt) {
                self.release(state, attempt, out);
            }
        }
        for starter in 0..3 {
            self.start(state, starter, out);
        }
        for (_, next) in out {
            self.settle(next);
        }
    }

    fn start(&mut self, state: &State, index: u8, out: &mut Vec<(Label, State)>) {
        let at = usize::from(index);
        let attempt = self.attempts[at];
        let number = state.starters[at];
        let with = |number, world| {
            let mut next = State { world, ..*state };
            next.starters[at] = number;
            next.launched[usize::from(attempt)] += u8::from(state.world.goes_live_in(&world));
            next
        };
        let Starter { tries, start } = self.starters.value(number);
        let tries = *tries;
        if start.is_none() {
            let release = self.releases.value(state.releases[usize::from(attempt)]);
            if tries > 0 && matches!(release, Releasing::NotBegun { .. }) {
                let start = Some(self.fresh_start(attempt, state.world.token()));
                let number = self.starters.number(Starter { tries: tries - 1, start });
                out.push((Label::Observe(attempt, number), with(number, state.world)));
            }
            return;
        }
        // A crash that nothing follows is the same as a delay without end.
        if tries > 0 {
            let number = self.starters.number(Starter { tries, start: None });
            out.push((Label::Crash(attempt, number), with(number, state.world)));
        }
        for (number, world) in self.start_moves(number, attempt, state.world).iter() {
            out.push((Label::Start(attempt, *number), with(*number, *world)));
        }
    }

    fn start_moves(&mut self, number: u16, attempt: u8, world: World) -> Rc<[(u16, World)]> {
        if let Some(moves) = self.start_moves.get(&(number, attempt, world)) {
            return Rc::clone(moves);
        }
        let Starter { tries, start } = self.starters.value(number).clone();
        let start = start.expect("only a starter in the middle of a try moves");
        let peeks_count = self.missing == Some(Rule::LookAfterTaking);
        let moves: Rc<[(u16, World)]> = drive_start(&start, &world, peeks_count)
            .into_iter()
            .map(|(start, next)| {
                let is_over = matches!(start.action(), start::Action::End(_));
                let start = (!is_over).then_some(start);
                (self.starters.number(Starter { tries, start }), next)
            })
            .collect();
        self.start_moves.insert((number, attempt, world), Rc::clone(&moves));
        moves
    }

    fn release(&mut self, state: &State, attempt: u8, out: &mut Vec<(Label, State)>) {
        let at = usize::from(attempt);
        for (number, world) in self.release_moves(state.releases[at], attempt, state.world).iter() {
            let mut next = State { world: *world, ..*state };
            next.releases[at] = *number;
            out.push((Label::Release(attempt, *number), next));
        }
    }

    fn release_moves(&mut self, number: u16, attempt: u8, world: World) -> Rc<[(u16, World)]> {
        if let Some(moves) = self.release_moves.get(&(number, attempt, world)) {
            return Rc::clone(moves);
        }
        let fresh = |cuts: u8| self.fresh_releases(attempt, &world).map(move |release| (cuts, release));
        let due: Vec<(u8, Release<u8, u8>)> = match self.releases.value(number).clone() {
            // To begin and do nothing yet is the same as to begin later.
            Releasing::NotBegun { cuts } => fresh(cuts).collect(),
            Releasing::Begun { release, cuts: 0 } => vec![(0, release)],
            Releasing::Begun { release, cuts } => {
                iter::once((cuts, release)).chain(fresh(cuts - 1)).collect()
            }
            Releasing::Done => vec![],
        };
        let mut moves = Vec::new();
        for (cuts, release) in due {
            for (release, next) in drive_release(attempt, &release, &world) {
                let releasing = match release.action() {
                    release::Action::Done => Releasing::Done,
                    _ => Releasing::Begun { release, cuts },
                };
                moves.push((self.releases.number(releasing), next));
            }
        }
        let moves: Rc<[(u16, World)]> = moves.into();
        self.release_moves.insert((number, attempt, world), Rc::clone(&moves));
        moves
    }

    fn fresh_start(&self, attempt: u8, expected: i64) -> Start<u8, u8> {
        let start = Start::new(attempt, expected, ENGINE[usize::from(attempt)], ENGINES);
        match self.missing {
            Some(rule) => start.without(rule),
            None => start,
        }
    }

    /// A release by somebody who knows nothing, and one by somebody who has seen the run finished.
    fn fresh_releases(&self, attempt: u8, world: &World) -> impl Iterator<Item = Release<u8, u8>> + use<> {
        let release = Release::new(attempt, ENGINES);
        let release = match self.missing {
            Some(rule) => release.without(rule),
            None => release,
        };
        let knowing = world.seen_finished(attempt);
        let knowing = knowing.map(|(engine, id)| release.clone().knowing_finished(engine, id));
        iter::once(release).chain(knowing)
    }

    /// Drops what cannot matter any more, so that states which behave alike are one.
    fn settle(&self, state: &mut State) {
        for (at, attempt) in self.attempts.into_iter().enumerate() {
            let release = self.releases.value(state.releases[usize::from(attempt)]);
            let may_try = matches!(release, Releasing::NotBegun { .. });
            if !may_try && self.starters.value(state.starters[at]).start.is_none() {
                state.starters[at] = self.resting;
            }
        }
        for attempt in [S, N, M] {
            let is_at_rest = |at: usize| self.attempts[at] != attempt || state.starters[at] == self.resting;
            if !(0..3).all(is_at_rest) {
                continue;
            }
            state.world.forget_created(attempt);
            let launched = &mut state.launched[usize::from(attempt)];
            if *launched == 1 {
                *launched = 0;
            }
        }
        if state.starters == [self.resting; 3] {
            state.world.forget_numbers();
        }
        if self.attempts[0] == self.attempts[1] {
            // Two replicas of one attempt are interchangeable.
            state.starters[..2].sort_unstable();
        }
    }

    /// A step for people: who moved, what is due next, and how things stand.
    pub(crate) fn describe(&self, label: Label, state: &State) -> String {
        let name = |attempt: u8| NAMES[usize::from(attempt)];
        let starter = |attempt: u8, what: &str, number: u16| match &self.starters.value(number).start {
            Some(start) => format!("{} {what}, next {:?}", name(attempt), start.action()),
            None => format!("{} {what} and ends", name(attempt)),
        };
        let who = match label {
            Label::Time => "time passes".to_owned(),
            Label::Deletion => "somebody deletes a run".to_owned(),
            Label::Observe(attempt, number) => starter(attempt, "reads the token", number),
            Label::Crash(attempt, number) => starter(attempt, "crashes", number),
            Label::Start(attempt, number) => starter(attempt, "acts", number),
            Label::Release(attempt, number) => match self.releases.value(number) {
                Releasing::Begun { release, .. } => {
                    format!("release of {} acts, next {:?}", name(attempt), release.action())
                }
                _ => format!("release of {} is done", name(attempt)),
            },
        };
        format!("{who}\n        {}", state.world.describe(NAMES))
    }
}
