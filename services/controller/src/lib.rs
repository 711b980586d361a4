//! Watches WorkflowExecutions and drives them to their end.
