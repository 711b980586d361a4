//! The definitions as they are committed, and as the types generate them.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

mod admission;
mod definition;
mod workflow;
