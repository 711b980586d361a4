//! Breadth-first search over the states of a model, so that a counter-example is a shortest one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::model::{Model, State};

/// What a search found.
pub enum Found {
    Nothing { states: usize },
    Violation { what: &'static str, steps: Vec<String>, states: usize },
}

/// Visits every state once.
pub fn search(model: &mut Model) -> Found {
    let first = model.first();
    let mut seen: HashMap<State, (), BuildHasherDefault<Fx>> = HashMap::default();
    let mut states: Vec<(State, u32)> = vec![(first, 0)];
    let mut successors = Vec::new();
    seen.insert(first, ());
    let mut at = 0;
    while at < states.len() {
        let state = states[at].0;
        if let Some(what) = model.violation(&state) {
            return Found::Violation { what, steps: trace(model, &states, at), states: states.len() };
        }
        successors.clear();
        model.successors(&state, &mut successors);
        for (_, next) in &successors {
            if seen.insert(*next, ()).is_none() {
                states.push((*next, u32::try_from(at).unwrap()));
            }
        }
        at += 1;
    }
    Found::Nothing { states: states.len() }
}

/// The steps that lead from the first state to this one.
fn trace(model: &mut Model, states: &[(State, u32)], mut at: usize) -> Vec<String> {
    let mut steps = Vec::new();
    while at != 0 {
        let (state, parent) = states[at];
        let parent = parent as usize;
        let mut successors = Vec::new();
        model.successors(&states[parent].0, &mut successors);
        let (label, _) = successors.into_iter().find(|(_, next)| *next == state).unwrap();
        steps.push(model.describe(label, &state));
        at = parent;
    }
    steps.reverse();
    steps
}

/// A fast hash for small keys that nobody attacks.
#[derive(Default)]
pub struct Fx(u64);

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
pub struct Interner<T> {
    numbers: HashMap<T, u16, BuildHasherDefault<Fx>>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub fn new() -> Self {
        Self { numbers: HashMap::default(), values: Vec::new() }
    }

    pub fn number(&mut self, value: T) -> u16 {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = u16::try_from(self.values.len()).expect("fewer than 65536 local states");
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    pub fn value(&self, number: u16) -> &T {
        &self.values[usize::from(number)]
    }
}
