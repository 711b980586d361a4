//! Breadth-first search over the states of a model, so that a counter-example is a shortest one.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::model::{Model, State};

/// What a search found.
pub(crate) struct Found {
    pub(crate) states: usize,
    /// What went wrong, and the steps that lead to it.
    pub(crate) violation: Option<(&'static str, Vec<String>)>,
}

/// Visits every state once, until one is wrong.
pub(crate) fn search(model: &mut Model) -> Found {
    let first = model.first();
    let mut seen: HashSet<u128, BuildHasherDefault<Fx>> = HashSet::default();
    let mut states: Vec<(State, u32)> = vec![(first, 0)];
    let mut successors = Vec::new();
    seen.insert(first.key());
    let mut at = 0;
    while let Some((state, _)) = states.get(at).copied() {
        if let Some(what) = model.violation(&state) {
            return Found { states: states.len(), violation: Some((what, trace(model, &states, at))) };
        }
        successors.clear();
        model.successors(&state, &mut successors);
        let parent = u32::try_from(at).expect("fewer than 2^32 states fit into memory");
        states.extend(
            successors.iter().filter(|(_, next)| seen.insert(next.key())).map(|(_, next)| (*next, parent)),
        );
        at += 1;
    }
    Found { states: states.len(), violation: None }
}

/// The steps that lead from the first state to this one.
fn trace(model: &mut Model, states: &[(State, u32)], mut at: usize) -> Vec<String> {
    let mut steps = Vec::new();
    while at != 0 {
        let (state, parent) = states[at];
        at = parent as usize;
        let mut successors = Vec::new();
        model.successors(&states[at].0, &mut successors);
        let step = successors.into_iter().find(|(_, next)| *next == state);
        let (label, _) = step.expect("a state is among the successors of its parent");
        steps.push(model.describe(label, &state));
    }
    steps.reverse();
    steps
}

/// Small numbers side by side.
#[derive(Default)]
pub(crate) struct Key {
    value: u128,
    used: u32,
}

impl Key {
    /// Adds a number that needs at most so many bits.
    pub(crate) fn add(&mut self, bits: u32, number: impl Into<u128>) {
        let number = number.into();
        assert!(number >> bits == 0 && self.used + bits <= 128, "a number needs more room");
        self.value |= number << self.used;
        self.used += bits;
    }

    pub(crate) fn value(&self) -> u128 {
        self.value
    }
}

/// A fast hash for small keys that nobody attacks.
#[derive(Default)]
pub(crate) struct Fx(u64);

impl Fx {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.add(u64::from(word));
    }

    fn write_u16(&mut self, word: u16) {
        self.add(u64::from(word));
    }

    fn write_i64(&mut self, word: i64) {
        self.add(word.cast_unsigned());
    }

    fn write_isize(&mut self, word: isize) {
        self.add(word.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

/// Gives every distinct value a small number, so that a state is a handful of numbers.
pub(crate) struct Interner<T> {
    numbers: HashMap<T, u16, BuildHasherDefault<Fx>>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub(crate) fn new() -> Self {
        Self { numbers: HashMap::default(), values: Vec::new() }
    }

    pub(crate) fn number(&mut self, value: T) -> u16 {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = u16::try_from(self.values.len()).expect("fewer than 65536 local states");
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    pub(crate) fn value(&self, number: u16) -> &T {
        &self.values[usize::from(number)]
    }
}
