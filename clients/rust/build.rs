//! Compiles `proto/` into the stubs that `src/lib.rs` includes. No `protoc` needed.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let protos = ["schedule", "run", "task", "scheduler", "document", "backup"]
        .map(|name| format!("watchbell/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=../../proto");

    let mut compiler = protox::Compiler::new(["../../proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(protos)?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out_dir.join("watchbell.v1.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    // A message must know its name to find its descriptor, which canonical JSON needs.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    // Contents are large: their bytes are shared with the buffer that they came in, not copied.
    config.bytes([
        ".watchbell.v1.UploadContentRequest.data",
        ".watchbell.v1.DownloadContentResponse.data",
    ]);
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;

    // The traits of a server, for the one that the tests of bellctl talk to. They are compiled only
    // there, and share the messages of the library.
    let server_dir = out_dir.join("server");
    fs::create_dir_all(&server_dir)?;
    tonic_prost_build::configure()
        .build_client(false)
        .generate_default_stubs(true)
        .extern_path(".watchbell.v1", "::watchbell_client::pb")
        .out_dir(server_dir)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
