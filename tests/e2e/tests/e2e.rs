//! Executions with real pods, from the object that is applied to all that is left of it. They need
//! a node, which needs root; without it each of them says so and passes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its premise fails")]

#[path = "e2e/cli.rs"]
mod cli;
#[path = "e2e/deletion.rs"]
mod deletion;
#[path = "e2e/dependencies.rs"]
mod dependencies;
#[path = "e2e/explained.rs"]
mod explained;
#[path = "e2e/names.rs"]
mod names;
#[path = "e2e/outcomes.rs"]
mod outcomes;
#[path = "e2e/pipelines.rs"]
mod pipelines;
#[path = "e2e/quota.rs"]
mod quota;
#[path = "e2e/races.rs"]
mod races;
#[path = "e2e/support.rs"]
mod support;
#[path = "e2e/tekton.rs"]
mod tekton;
#[path = "e2e/tekton_failures.rs"]
mod tekton_failures;
#[path = "e2e/traces.rs"]
mod traces;
#[path = "e2e/unable.rs"]
mod unable;
