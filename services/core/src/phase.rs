//! Where an execution stands, and where it may go from there.

use std::fmt;

/// The phases, in the order an execution goes through them. An execution without one is Pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing was started yet.
    Pending,
    /// The run is live, or was when last seen.
    Running,
    /// The run succeeded.
    Completed,
    /// The run failed, or was never started and never will be.
    Failed,
}

/// What a legal step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The phase changes: this happens once, and is recorded.
    Moves,
    /// The phase stays: nothing happened that would be worth a record.
    Stays,
}

/// A step that the machine does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an execution cannot go from {from} to {to}")]
pub struct IllegalStep {
    /// Where it stands.
    pub from: Phase,
    /// Where it should have gone.
    pub to: Phase,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Completed, Self::Failed];

    /// Reads a stored phase; none for one of another release.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }

    /// The phase as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }

    /// Whether nothing follows.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// Checks the step from this phase to another.
    pub fn step(self, to: Self) -> Result<Step, IllegalStep> {
        use Phase::{Completed, Failed, Pending, Running};
        match (self, to) {
            (from, to) if from == to => Ok(Step::Stays),
            (Pending, Running | Failed) | (Running, Completed | Failed) => Ok(Step::Moves),
            (from, to) => Err(IllegalStep { from, to }),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase::*, *};

    #[test]
    fn the_table_of_steps_is_the_contract() {
        let legal = [(Pending, Running), (Pending, Failed), (Running, Completed), (Running, Failed)];
        for from in Phase::ALL {
            for to in Phase::ALL {
                let expected = match () {
                    () if from == to => Ok(Step::Stays),
                    () if legal.contains(&(from, to)) => Ok(Step::Moves),
                    () => Err(IllegalStep { from, to }),
                };
                assert_eq!(from.step(to), expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn an_illegal_step_names_both_phases() {
        assert_eq!(
            Completed.step(Running).unwrap_err().to_string(),
            "an execution cannot go from Completed to Running"
        );
    }

    #[test]
    fn phases_survive_their_text_and_others_are_not_known() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.as_str()), Some(phase));
        }
        assert_eq!(Phase::parse("Skipped"), None);
        assert_eq!(Phase::parse(""), None);
    }
}
