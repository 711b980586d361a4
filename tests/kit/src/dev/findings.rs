//! What the demo claims, and whether it is so.

use std::process::ExitCode;

use super::render::{Tone, heading, paint};

/// Claims in the order they were checked.
#[derive(Default)]
pub(super) struct Findings(Vec<(String, Result<(), String>)>);

impl Findings {
    /// Notes a claim, and why it is not so if it is not.
    pub(super) fn note(&mut self, claim: impl Into<String>, holds: bool, otherwise: impl Into<String>) {
        self.0.push((claim.into(), if holds { Ok(()) } else { Err(otherwise.into()) }));
    }

    /// Notes a claim that was to be checked by something that can fail, and passes its value on.
    pub(super) fn keep<T>(&mut self, claim: impl Into<String>, outcome: anyhow::Result<T>) -> Option<T> {
        let (value, result) = match outcome {
            Ok(value) => (Some(value), Ok(())),
            Err(error) => (None, Err(format!("{error:#}"))),
        };
        self.0.push((claim.into(), result));
        value
    }

    /// Prints them all, and fails unless all are so.
    pub(super) fn conclude(self) -> ExitCode {
        heading("What was checked");
        let mut wrong = 0;
        for (claim, result) in &self.0 {
            match result {
                Ok(()) => println!("  {} {claim}", paint(Tone::Good, "✓")),
                Err(why) => {
                    wrong += 1;
                    println!("  {} {claim}: {}", paint(Tone::Bad, "✗"), why.trim());
                }
            }
        }
        if wrong == 0 {
            return ExitCode::SUCCESS;
        }
        println!("\n{}", paint(Tone::Bad, &format!("{wrong} of {} claims are not true", self.0.len())));
        ExitCode::FAILURE
    }
}
