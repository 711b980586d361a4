//! What a start asks for, what it is told, and how it ends.

use super::view::{Lease, Run};

/// What a start wants done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action<A, R> {
    /// Read the Lease, uncached. Answer: [`Seen::Lease`].
    ReadLease,
    /// Write the Lease, on condition that it is as this start last read or wrote it (`from`; create it
    /// when `from` is none). Answer: [`Seen::Written`] or [`Seen::Moved`].
    WriteLease {
        /// What the write is conditional on.
        from: Option<Lease<A, R>>,
        /// What is written.
        to: Lease<A, R>,
    },
    /// Look for a run under the run's name in this engine, uncached. Answer: [`Seen::Run`].
    Look(u8),
    /// Remove the run that was just looked at, on condition that the object has not changed since.
    /// Answer: [`Seen::Removed`] or [`Seen::Moved`].
    RemoveUnchanged(u8, R),
    /// Wait until this run, which is being removed, is gone; then look again. Answer: [`Seen::Run`].
    AwaitGone(u8, R),
    /// Create the run inert in this engine, with the attempt and this token on it.
    /// Answer: [`Seen::Created`], [`Seen::Exists`] or [`Seen::Refused`].
    Create {
        /// Where.
        engine: u8,
        /// Token to put on it.
        token: i64,
    },
    /// Make this very object live. Answer: [`Seen::Live`], or [`Seen::Gone`] when it no longer exists,
    /// is being removed, or is another object.
    GoLive(u8, R),
    /// Stop; this came of it.
    End(Outcome<A>),
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen<A, R> {
    /// The Lease, if there is one, and whether its holder took it longer ago than the start timeout.
    Lease(Option<Lease<A, R>>, bool),
    /// The conditional write succeeded.
    Written,
    /// The condition did not hold.
    Moved,
    /// The run found, if any.
    Run(Option<Run<A, R>>),
    /// The run was removed, or its removal has begun.
    Removed,
    /// The run was created, inert.
    Created(R),
    /// A run of this name exists.
    Exists,
    /// The backend refuses this run for good.
    Refused,
    /// The run is live.
    Live,
    /// There is nothing to make live.
    Gone,
}

/// How a start ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<A> {
    /// The run is live, or has even finished.
    Started {
        /// Engine that has the run.
        engine: u8,
        /// Whether the run had existed before this try.
        adopted: bool,
    },
    /// Another attempt holds the target, or has a run on it.
    Busy(A),
    /// The Lease is not as the caller or this start had seen it. Read it again and decide again.
    TokenMoved {
        /// Token as last read.
        current: i64,
    },
    /// The run was removed before it could go live. Trying again is safe.
    RunGone,
    /// This attempt's run was made live, or was about to be, and is gone. It never starts again.
    Vanished,
    /// The backend refused the run for good, and the target is free again.
    Refused,
}
