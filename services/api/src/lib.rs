//! The kubernaut.ai/v1alpha1 custom resources as Rust types.
