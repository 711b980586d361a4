//! Compiles the .proto files with protox, so that building needs no protoc.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const SOURCES: [&str; 2] =
    ["evenkeel/execution/v1/execution_service.proto", "evenkeel/audit/v1/audit_service.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let descriptors = protox::compile(SOURCES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
