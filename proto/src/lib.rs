//! The gRPC contracts of Evenkeel: generated from `proto/evenkeel/**.proto`, nothing else.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)] // generated; the comments are in the .proto files

/// Executor protocol, `evenkeel.execution.v1`.
pub mod execution {
    pub mod v1 {
        tonic::include_proto!("evenkeel.execution.v1");
    }
}

/// Audit log protocol, `evenkeel.audit.v1`.
pub mod audit {
    pub mod v1 {
        tonic::include_proto!("evenkeel.audit.v1");
    }
}

/// Encoded `FileDescriptorSet` of all contracts, for reflection and the breaking-change check.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
