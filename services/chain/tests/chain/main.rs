//! The log as auditors check it, against the vectors of others where there are some.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test ends where its premise fails"
)]

mod bundle;
mod log;
mod signed;
