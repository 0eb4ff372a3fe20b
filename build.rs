//! Compiles `proto/` into the stubs that `src/pb.rs` includes. No `protoc` needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost_build::{Service, ServiceGenerator};

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells build scripts by the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let protos = ["schedule", "run", "task", "scheduler", "document", "backup"]
        .map(|name| format!("watchbell/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=proto");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(protos)?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out_dir.join("watchbell.v1.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    let servers = tonic_prost_build::configure().build_client(false);
    let clients = tonic_prost_build::configure().build_server(false);
    prost_build::Config::new()
        .bytes(BYTES)
        .service_generator(Box::new(Stubs {
            servers: servers.service_generator(),
            clients: clients.service_generator(),
        }))
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// What thousands may watch: answers that are encoded in part already, once for all of them.
const SHARED: &[&str] = &["WatchDocuments", "WatchRuns"];

/// Bytes that are handed on as they came, and not copied.
const BYTES: &[&str] = &[
    ".watchbell.v1.UploadContentRequest.data",
    ".watchbell.v1.DownloadContentResponse.data",
];

/// Services that commands of the server's own program call.
const CALLED: &[&str] = &["SchedulerService"];

/// Makes the servers' stubs, and the clients' of what is called.
struct Stubs {
    servers: Box<dyn ServiceGenerator>,
    clients: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for Stubs {
    fn generate(&mut self, mut service: Service, out: &mut String) {
        if CALLED.contains(&service.proto_name.as_str()) {
            self.clients.generate(service.clone(), out);
        }
        for method in &mut service.methods {
            if SHARED.contains(&method.proto_name.as_str()) {
                method.output_type =
                    format!("crate::api::Shared<crate::pb::{}>", method.output_type);
            }
        }
        self.servers.generate(service, out);
    }

    fn finalize(&mut self, out: &mut String) {
        self.servers.finalize(out);
        self.clients.finalize(out);
    }

    fn finalize_package(&mut self, package: &str, out: &mut String) {
        self.servers.finalize_package(package, out);
        self.clients.finalize_package(package, out);
    }
}
