//! What the start and the release see of the world.

/// The lock of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease<A, R> {
    /// The attempt that holds it; none when it is free.
    pub holder: Option<A>,
    /// Fencing token: grows at every change of holder.
    pub token: i64,
    /// The attempt released last.
    pub released: Option<A>,
    /// The run that its holder made live, or is about to. Cleared by every change of holder.
    pub launched: Option<R>,
}

/// A run found under the name of the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run<A, R> {
    /// The attempt it was created for.
    pub owner: A,
    /// How far it got.
    pub stage: Stage,
    /// Whether its removal has begun. Until it is gone it counts as what its stage says.
    pub going: bool,
    /// Which object it is.
    pub id: R,
}

/// How far a run got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Created, and never made live.
    Inert,
    /// Made live and not finished, also when somebody suspended it since.
    Live,
    /// Finished, well or badly.
    Done,
}
