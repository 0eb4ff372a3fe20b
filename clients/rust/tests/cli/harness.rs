//! Starts the scripted server and runs bellctl against it.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, MutexGuard},
};

use tokio::{net::TcpListener, process::Command};
use tonic::transport::{Server, server::TcpIncoming};

use crate::fake::{
    Fake, Script, TOKEN,
    server::{
        run_service_server::RunServiceServer, scheduler_service_server::SchedulerServiceServer,
        task_service_server::TaskServiceServer,
    },
};

/// A server, and the directory with its token.
pub(crate) struct Harness {
    fake: Fake,
    endpoint: String,
    directory: tempfile::TempDir,
}

/// What a call of bellctl left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        let fake = Fake(Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder()
            .add_service(TaskServiceServer::new(fake.clone()))
            .add_service(RunServiceServer::new(fake.clone()))
            .add_service(SchedulerServiceServer::new(fake.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(server);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), format!("{TOKEN}\n")).unwrap();
        Self {
            fake,
            endpoint,
            directory,
        }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.fake.0.lock().unwrap()
    }

    /// A file that bellctl may be told of.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Done {
        let output = self.command(args).output().await.unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellctl"));
        command
            .args(args)
            .env("WATCHBELL_ENDPOINT", &self.endpoint)
            .env("WATCHBELL_TOKEN_FILE", self.directory.path().join("token"))
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}
