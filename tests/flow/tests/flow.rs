//! The services together, against a real API server. Without a node, a stand-in plays the kubelet.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its premise fails")]

#[path = "flow/catalogue.rs"]
mod catalogue;
#[path = "flow/clearance.rs"]
mod clearance;
#[path = "flow/definition.rs"]
mod definition;
#[path = "flow/executors.rs"]
mod executors;
#[path = "flow/gates.rs"]
mod gates;
#[path = "flow/grpcurl.rs"]
mod grpcurl;
#[path = "flow/hands.rs"]
mod hands;
#[path = "flow/identity.rs"]
mod identity;
#[path = "flow/invalid.rs"]
mod invalid;
#[path = "flow/leader.rs"]
mod leader;
#[path = "flow/order.rs"]
mod order;
#[path = "flow/outage.rs"]
mod outage;
#[path = "flow/people.rs"]
mod people;
#[path = "flow/permissions.rs"]
mod permissions;
#[path = "flow/protocol.rs"]
mod protocol;
#[path = "flow/races.rs"]
mod races;
#[path = "flow/requests.rs"]
mod requests;
#[path = "flow/spans.rs"]
mod spans;
#[path = "flow/storm.rs"]
mod storm;
#[path = "flow/support.rs"]
mod support;
#[path = "flow/tekton.rs"]
mod tekton;
#[path = "flow/third_party.rs"]
mod third_party;
#[path = "flow/workflows.rs"]
mod workflows;
