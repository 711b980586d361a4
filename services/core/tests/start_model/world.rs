//! What the machines act on: one Lease, and a slot for a run in each engine.

use std::iter;

use evenkeel_core::release::{self, Release};
use evenkeel_core::start::{self, Lease, Run, Stage, Start};

use crate::{model::ENGINE, search::Key};

pub(crate) const ENGINES: u8 = 2;

/// The Lease and the runs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    lease: Option<Lock>,
    slots: [Option<Slot>; 2],
    /// How many runs each attempt has created.
    created: [u8; 3],
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Lock {
    holder: Option<u8>,
    token: u8,
    released: Option<u8>,
    launched: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    owner: u8,
    stage: Stage,
    going: bool,
    id: u8,
}

impl World {
    pub(crate) fn token(&self) -> i64 {
        self.lease.map_or(0, |lease| i64::from(lease.token))
    }

    /// Owners of the runs in this stage; those whose removal has begun count.
    pub(crate) fn owners(&self, stage: Stage) -> impl Iterator<Item = u8> + Clone + '_ {
        self.slots.iter().flatten().filter(move |slot| slot.stage == stage).map(|slot| slot.owner)
    }

    /// Whether an inert run of this world is live in the next.
    pub(crate) fn goes_live_in(&self, next: &Self) -> bool {
        let stage = |slot: Option<Slot>| slot.map(|slot| (slot.id, slot.stage));
        iter::zip(self.slots, next.slots).any(|(before, after)| {
            matches!((stage(before), stage(after)), (Some((id, Stage::Inert)), Some((same, Stage::Live))) if id == same)
        })
    }

    /// What happens by itself: live runs finish, and what is being removed is gone some day.
    pub(crate) fn passing_time(&self, mut then: impl FnMut(Self)) {
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots[at] else { continue };
            if slot.stage == Stage::Live {
                then(self.with(at, Some(Slot { stage: Stage::Done, ..slot })));
            }
            if slot.going {
                then(self.with(at, None));
            }
        }
    }

    /// Somebody deletes a run, which is then gone some day.
    pub(crate) fn deleting(&self, mut then: impl FnMut(Self)) {
        for at in 0..self.slots.len() {
            if let Some(slot) = self.slots[at].filter(|slot| !slot.going) {
                then(self.with(at, Some(Slot { going: true, ..slot })));
            }
        }
    }

    /// Forgets what only starters compare.
    pub(crate) fn forget_numbers(&mut self) {
        self.lease = self.lease.map(|lease| Lock { token: 0, launched: None, ..lease });
    }

    /// Forgets how many runs an attempt has created that creates no more.
    pub(crate) fn forget_created(&mut self, attempt: u8) {
        self.created[usize::from(attempt)] = 0;
    }

    pub(crate) fn describe(&self, names: [&str; 3]) -> String {
        let name = |attempt: Option<u8>| attempt.map_or("-", |attempt| names[usize::from(attempt)]);
        let lease = match self.lease {
            None => "no Lease".to_owned(),
            Some(Lock { holder, token, released, launched }) => {
                let launched = launched.map_or(String::new(), |id| format!(", launched #{id}"));
                format!(
                    "Lease: holder {}, token {token}, released {}{launched}",
                    name(holder),
                    name(released)
                )
            }
        };
        let slots = self.slots.map(|slot| match slot {
            None => "empty".to_owned(),
            Some(Slot { owner, stage, going, id }) => {
                let going = if going { ", being removed" } else { "" };
                format!("{}'s run #{id} {stage:?}{going}", name(Some(owner)))
            }
        });
        format!("{lease} | {} | {}", slots[0], slots[1])
    }

    /// Adds everything to the key of a state.
    pub(crate) fn add_to(&self, key: &mut Key) {
        let attempt = |attempt: Option<u8>| attempt.map_or(3, |attempt| attempt);
        let lease = self.lease.unwrap_or_default();
        key.add(1, u8::from(self.lease.is_some()));
        key.add(2, attempt(lease.holder));
        key.add(5, lease.token);
        key.add(2, attempt(lease.released));
        key.add(4, lease.launched.unwrap_or(0));
        for slot in self.slots {
            key.add(2, attempt(slot.map(|slot| slot.owner)));
            key.add(2, slot.map_or(0, |slot| slot.stage as u8));
            key.add(1, slot.map_or(0, |slot| u8::from(slot.going)));
            key.add(4, slot.map_or(0, |slot| slot.id));
        }
        for created in self.created {
            key.add(2, created);
        }
    }

    fn with(&self, at: usize, slot: Option<Slot>) -> Self {
        let mut next = *self;
        next.slots[at] = slot;
        next
    }

    fn lease(&self) -> Option<Lease<u8, u8>> {
        let Lock { holder, token, released, launched } = self.lease?;
        Some(Lease { holder, token: i64::from(token), released, launched })
    }

    fn look(&self, engine: u8) -> Option<Run<u8, u8>> {
        let Slot { owner, stage, going, id } = self.slots[usize::from(engine)]?;
        Some(Run { owner, stage, going, id })
    }

    /// Writes the Lease if it is as expected, and says whether it was.
    fn write_lease(&mut self, from: Option<Lease<u8, u8>>, to: &Lease<u8, u8>) -> bool {
        let is_as_expected = self.lease() == from;
        if is_as_expected {
            let token = u8::try_from(to.token).expect("the Lease changes hands a few times only");
            let Lease { holder, released, launched, .. } = *to;
            self.lease = Some(Lock { holder, token, released, launched });
        }
        is_as_expected
    }

    fn slot_of(&mut self, engine: u8, id: u8) -> Option<&mut Slot> {
        self.slots[usize::from(engine)].as_mut().filter(|slot| slot.id == id)
    }

    /// Begins to remove a run.
    fn remove_slowly(&mut self, engine: u8, id: u8) {
        if let Some(slot) = self.slot_of(engine, id) {
            slot.going = true;
        }
    }

    /// The run of this attempt that somebody may have seen finished: one that has, or one that the Lease
    /// names and that is gone, whatever became of it.
    pub(crate) fn seen_finished(&self, attempt: u8) -> Option<(u8, u8)> {
        let engine = ENGINE[usize::from(attempt)];
        let slot = self.slots[usize::from(engine)].filter(|slot| slot.owner == attempt);
        let named = self.lease.filter(|lease| lease.holder == Some(attempt)).and_then(|lease| lease.launched);
        match slot {
            Some(slot) => (slot.stage == Stage::Done).then_some((engine, slot.id)),
            None => named.map(|id| (engine, id)),
        }
    }

    fn go_live(&mut self, engine: u8, id: u8) -> start::Seen<u8, u8> {
        let Some(slot) = self.slot_of(engine, id) else { return start::Seen::Gone };
        if slot.stage == Stage::Inert {
            slot.stage = Stage::Live;
        }
        if slot.going { start::Seen::Gone } else { start::Seen::Live }
    }
}

/// Every way in which the due action of a start can come out. A conditional write that succeeds is one
/// step with the read it is conditional on, since nothing can have moved in between; one that fails leads
/// back to the read.
pub(crate) fn drive_start(
    start: &Start<u8, u8>,
    world: &World,
    peeks_count: bool,
) -> Vec<(Start<u8, u8>, World)> {
    use start::{Action, Seen};
    let (mut told, mut next) = (start.clone(), *world);
    match start.action() {
        Action::ReadLease => return read_lease(start, world, peeks_count),
        Action::WriteLease { from, to } => {
            let is_written = next.write_lease(from, &to);
            told.next(if is_written { Seen::Written } else { Seen::Moved });
        }
        Action::Look(engine) | Action::AwaitGone(engine, _) => {
            let action = told.next(Seen::Run(world.look(engine)));
            if let Action::RemoveUnchanged(..) = action {
                next = next.with(usize::from(engine), None);
                told.next(Seen::Removed);
            }
        }
        Action::Create { engine, .. } => return create(start, world, engine),
        Action::GoLive(engine, id) => {
            told.next(next.go_live(engine, id));
        }
        Action::RemoveUnchanged(..) | Action::End(_) => unreachable!("is never due by itself"),
    }
    vec![(told, next)]
}

/// Reading the Lease, and taking it where that is what follows. What a start looks at before a takeover
/// only spares a live holder a disturbance; unless it is relied upon (`peeks_count`), it may see anything,
/// and what it sees needs no step of its own.
fn read_lease(start: &Start<u8, u8>, world: &World, peeks_count: bool) -> Vec<(Start<u8, u8>, World)> {
    use start::{Action, Seen};
    let holder = world.lease.and_then(|lease| lease.holder);
    let is_foreign = holder.is_some_and(|holder| holder != *start.attempt());
    let read = |aged: bool| {
        let (mut told, mut next) = (start.clone(), *world);
        told.next(Seen::Lease(world.lease(), aged));
        while is_foreign && !peeks_count && matches!(told.action(), Action::Look(_)) {
            told.next(Seen::Run(None));
        }
        if let Action::WriteLease { from, to } = told.action() {
            next.write_lease(from, &to);
            told.next(Seen::Written);
        }
        (told, next)
    };
    if is_foreign { vec![read(false), read(true)] } else { vec![read(false)] }
}

/// Creating the run, which the backend may also refuse.
fn create(start: &Start<u8, u8>, world: &World, engine: u8) -> Vec<(Start<u8, u8>, World)> {
    use start::Seen;
    let told = |seen| {
        let mut told = start.clone();
        told.next(seen);
        told
    };
    let at = usize::from(engine);
    if world.slots[at].is_some() {
        return vec![(told(Seen::Exists), *world)];
    }
    let owner = *start.attempt();
    let mut next = *world;
    let created = &mut next.created[usize::from(owner)];
    *created += 1;
    // No two runs are one, and the number tells nothing of what other attempts did before.
    let id = owner * 4 + *created;
    next.slots[at] = Some(Slot { owner, stage: Stage::Inert, going: false, id });
    vec![(told(Seen::Created(id)), next), (told(Seen::Refused), *world)]
}

/// Every way in which the due action of a release can come out.
pub(crate) fn drive_release(
    attempt: u8,
    release: &Release<u8, u8>,
    world: &World,
) -> Vec<(Release<u8, u8>, World)> {
    use release::{Action, Seen};
    let (mut told, mut next) = (release.clone(), *world);
    match release.action() {
        Action::ReadLease => {
            let action = told.next(Seen::Lease(world.lease()));
            if let Action::WriteLease { from, to } = action {
                next.write_lease(from, &to);
                told.next(Seen::Written);
            }
        }
        Action::Look(engine) | Action::AwaitGone(engine, _) => {
            // What is removed is the very object that was seen, so seeing and removing are one step.
            if let Action::Remove(_, id) = told.next(Seen::Run(world.look(engine))) {
                next.remove_slowly(engine, id);
                told.next(Seen::Removed);
                told.next(Seen::Run(next.look(engine)));
            }
        }
        Action::Remove(engine, id) => return remove(attempt, release, world, engine, id),
        Action::WriteLease { .. } | Action::Done => unreachable!("is never due by itself"),
    }
    vec![(skip_empty_looks(attempt, told), next)]
}

/// Removing a run that nobody looked at first: it is gone at once, or some day, or was gone before.
fn remove(
    attempt: u8,
    release: &Release<u8, u8>,
    world: &World,
    engine: u8,
    id: u8,
) -> Vec<(Release<u8, u8>, World)> {
    use release::Seen;
    let told = |seen| {
        let mut told = release.clone();
        told.next(seen);
        skip_empty_looks(attempt, told)
    };
    let mut slowly = *world;
    if slowly.slot_of(engine, id).is_none() {
        return vec![(told(Seen::Gone), *world)];
    }
    slowly.remove_slowly(engine, id);
    let at_once = world.with(usize::from(engine), None);
    vec![(told(Seen::Gone), at_once), (told(Seen::Removed), slowly)]
}

/// A look where this attempt never has a run says nothing and needs no step of its own.
fn skip_empty_looks(attempt: u8, mut told: Release<u8, u8>) -> Release<u8, u8> {
    use release::{Action, Seen};
    while let Action::Look(engine) = told.action()
        && engine != ENGINE[usize::from(attempt)]
    {
        told.next(Seen::Run(None));
    }
    told
}
