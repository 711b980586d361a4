//! Tests: fault.
