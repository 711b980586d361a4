//! Appends, keeps and proves the audit log.
