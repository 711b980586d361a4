//! The log and its service, with their real files and over real gRPC.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its premise fails")]

mod append;
mod crash;
mod event;
mod service;
mod support;
mod tamper;
