//! Compiles `proto/` into the stubs that `src/pb.rs` includes. No `protoc` needed.

use std::{env, error::Error, fs, path::PathBuf};

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells build scripts by the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let protos =
        ["schedule", "run", "task", "scheduler"].map(|name| format!("watchbell/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=proto");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(protos)?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out_dir.join("watchbell.v1.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
