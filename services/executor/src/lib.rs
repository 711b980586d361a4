//! The only service that may launch runs.
