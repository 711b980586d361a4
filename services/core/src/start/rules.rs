//! The rules of the protocol, by name, so that each can be shown to be needed.

/// A rule of the start or the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(hidden)]
#[repr(u8)]
pub enum Rule {
    /// Runs are looked for after the Lease was taken, not before.
    LookAfterTaking,
    /// Runs are looked for in every engine.
    LookEverywhere,
    /// Release frees the Lease before it removes the run.
    FreeFirst,
    /// Release grows the token.
    ReleaseGrowsToken,
    /// Release grows the token even if the attempt does not hold the Lease.
    ReleaseGrowsForeignToken,
    /// The token must be the one that the caller saw.
    ExpectedToken,
    /// The holder's own request carries on only if nobody else moved the token in between.
    ResumeOnlyNext,
    /// The Lease must still be as it was before the run goes live.
    Verify,
    /// Which run goes live is written into the Lease first.
    LaunchedMark,
    /// A Lease that says so is left to its holder, however old it is.
    MarkStays,
}

/// The rules in force: all, unless a test left one out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(hidden)]
pub struct Rules {
    missing: Option<Rule>,
}

impl Rules {
    /// All rules but this one.
    #[must_use]
    pub fn without(self, rule: Rule) -> Self {
        Self { missing: Some(rule) }
    }

    /// Whether this rule is left out.
    pub fn lacks(self, rule: Rule) -> bool {
        self.missing == Some(rule)
    }
}
