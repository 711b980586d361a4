//! The argument of decision 0013, checked: every interleaving of attempts at two executors, whose
//! requests may be repeated and arrive at any time, with each step left out in turn.

use std::collections::HashSet;

/// What is left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    Fence,
    SecondLook,
    Token,
}

const ATTEMPTS: usize = 3;
const EXECUTORS: usize = 2;

/// An executor: its token, and who holds the target there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Place {
    token: u8,
    holder: Option<u8>,
}

/// What an attempt does next. Its engine is at executor `attempt % EXECUTORS`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Read,
    /// With the token that was read.
    Fence(u8),
    Look(u8),
    Send(u8),
    Waits,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    places: [Place; EXECUTORS],
    steps: [Step; ATTEMPTS],
    /// Starts under way: attempt and token. They stay, so each may arrive late and more than once.
    sent: [Option<u8>; ATTEMPTS],
    /// Whether an attempt was released: it never starts again.
    released: [bool; ATTEMPTS],
    begun_again: u8,
}

fn own(attempt: usize) -> usize {
    attempt % EXECUTORS
}

fn other(attempt: usize) -> usize {
    (attempt + 1) % EXECUTORS
}

impl World {
    fn new() -> Self {
        Self {
            places: Default::default(),
            steps: [Step::Read; ATTEMPTS],
            sent: [None; ATTEMPTS],
            released: [false; ATTEMPTS],
            begun_again: 0,
        }
    }

    fn is_free(&self, place: usize, attempt: usize) -> bool {
        self.places[place].holder.is_none_or(|holder| usize::from(holder) == attempt)
    }

    /// The attempt's own next step.
    fn step(&self, attempt: usize, without: Without) -> Self {
        let mut next = self.clone();
        let is_free = next.is_free(own(attempt), attempt) && next.is_free(other(attempt), attempt);
        next.steps[attempt] = match self.steps[attempt] {
            Step::Read if !is_free => Step::Waits,
            Step::Read if without == Without::Fence => Step::Look(self.places[own(attempt)].token),
            Step::Read => Step::Fence(self.places[own(attempt)].token),
            Step::Fence(token) => {
                next.places[other(attempt)].token += 1;
                if without == Without::SecondLook { Step::Send(token) } else { Step::Look(token) }
            }
            Step::Look(_) if !self.is_free(other(attempt), attempt) => Step::Waits,
            Step::Look(token) => Step::Send(token),
            Step::Send(token) => {
                next.sent[attempt] = Some(token);
                Step::Waits
            }
            Step::Waits => Step::Waits,
        };
        next
    }

    /// A start arrives, the first time or again.
    fn arrive(&self, attempt: usize, without: Without) -> Option<Self> {
        let token = self.sent[attempt]?;
        let place = self.places[own(attempt)];
        let is_expected = place.token == token || without == Without::Token;
        if !is_expected || place.holder.is_some() {
            return None;
        }
        let mut next = self.clone();
        next.places[own(attempt)] = Place { token: place.token + 1, holder: u8::try_from(attempt).ok() };
        Some(next)
    }

    /// The attempt ends and is released, also while its start is still under way.
    fn release(&self, attempt: usize) -> Option<Self> {
        if self.released[attempt] || self.sent[attempt].is_none() {
            return None;
        }
        let mut next = self.clone();
        next.released[attempt] = true;
        let place = &mut next.places[own(attempt)];
        place.token += 1;
        if place.holder.is_some_and(|holder| usize::from(holder) == attempt) {
            place.holder = None;
        }
        Some(next)
    }

    /// Whoever waits tries again; a controller that was restarted does so in the middle.
    fn again(&self, attempt: usize) -> Option<Self> {
        if self.released[attempt] || self.begun_again >= 1 || self.steps[attempt] == Step::Read {
            return None;
        }
        let mut next = self.clone();
        next.steps[attempt] = Step::Read;
        next.begun_again += 1;
        Some(next)
    }

    fn is_broken(&self) -> bool {
        self.places.iter().filter(|place| place.holder.is_some()).count() > 1
    }

    fn successors(&self, without: Without) -> Vec<Self> {
        (0..ATTEMPTS)
            .flat_map(|attempt| {
                [
                    Some(self.step(attempt, without)).filter(|next| next != self && !self.released[attempt]),
                    self.arrive(attempt, without),
                    self.release(attempt),
                    self.again(attempt),
                ]
            })
            .flatten()
            .collect()
    }
}

/// Whether two executors can ever have the target at the same time, and how many states were seen.
fn search(without: Without) -> (bool, usize) {
    let (mut seen, mut open) = (HashSet::from([World::new()]), vec![World::new()]);
    while let Some(world) = open.pop() {
        for next in world.successors(without) {
            if next.is_broken() {
                return (true, seen.len());
            }
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    (false, seen.len())
}

#[test]
fn at_most_one_executor_has_a_target_in_every_interleaving() {
    let (is_broken, states) = search(Without::Nothing);
    assert!(!is_broken && states > 1_000, "{states}");
}

#[test]
fn each_step_of_the_agreement_between_executors_is_needed() {
    for without in [Without::Fence, Without::SecondLook, Without::Token] {
        assert!(search(without).0);
    }
}
