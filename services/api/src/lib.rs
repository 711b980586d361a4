//! The `kubernaut.ai/v1alpha1` custom resources as Rust types, and their definitions as YAML.
//!
//! The types say what is stored, not what it means: the rules live in `evenkeel-core`. Values of
//! closed sets (phases, reasons) are plain strings here, so that one object written by another
//! release can always be read; the schema still refuses to store an unknown one.

pub mod definitions;
mod schema;
pub mod workflow;
pub mod workflow_execution;

pub use workflow::{RemediationWorkflow, RemediationWorkflowSpec, RemediationWorkflowStatus};

pub use workflow_execution::{
    BlockClearance, Dependencies, ExecutionConfig, ExecutionStatus, FailureDetails, NameRef,
    SelectedWorkflow, WorkflowExecution, WorkflowExecutionSpec, WorkflowExecutionStatus, WorkflowRef,
};

/// API group of every resource here.
pub const GROUP: &str = "kubernaut.ai";
/// The only version of the group.
pub const VERSION: &str = "v1alpha1";
