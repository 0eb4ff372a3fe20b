//! Starts the scripted server and runs bellctl against it.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    process::Command,
};
use tonic::transport::{Server, server::TcpIncoming};

use crate::fake::{
    Fake, Script, TOKEN,
    server::{
        backup_service_server::BackupServiceServer, document_service_server::DocumentServiceServer,
        run_service_server::RunServiceServer, scheduler_service_server::SchedulerServiceServer,
        task_service_server::TaskServiceServer,
    },
};

/// Longer than any call takes that does not hang.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

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
            .add_service(DocumentServiceServer::new(fake.clone()))
            .add_service(RunServiceServer::new(fake.clone()))
            .add_service(SchedulerServiceServer::new(fake.clone()))
            .add_service(BackupServiceServer::new(fake.clone()))
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
        self.fake.script()
    }

    /// A file that bellctl may be told of.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// An endpoint whose first connection is cut once so many bytes went one way.
    pub(crate) async fn cut_after(&self, bytes: u64) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = self.endpoint.replace("http://", "");
        tokio::spawn(async move {
            let mut left = bytes;
            while let Ok((caller, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let bound = std::mem::replace(&mut left, u64::MAX);
                tokio::spawn(async move {
                    let (asked, mut answers) = caller.into_split();
                    let (answered, mut requests) = server.into_split();
                    let (mut asked, mut answered) = (asked.take(bound), answered.take(bound));
                    // Whichever ends first takes the other with it.
                    tokio::select! {
                        _ = tokio::io::copy(&mut asked, &mut requests) => {}
                        _ = tokio::io::copy(&mut answered, &mut answers) => {}
                    }
                });
            }
        });
        endpoint
    }

    /// The same, as it is said on a command line.
    pub(crate) fn text(&self, name: &str, text: &str) -> String {
        self.bytes(name, text.as_bytes())
    }

    pub(crate) fn bytes(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Where a file of that name would be.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// An empty folder, or the one that is there.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
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

    /// Runs bellctl with a standard output of which nobody reads a byte: its reader has gone before it begins.
    pub(crate) async fn run_unread(&self, args: &[&str]) -> Done {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        self.run_into(args, writer.into()).await
    }

    /// Runs bellctl with a standard output on a disk that is full.
    pub(crate) async fn run_full(&self, args: &[&str]) -> Done {
        let full = std::fs::File::options().write(true).open("/dev/full");
        self.run_into(args, full.unwrap().into()).await
    }

    async fn run_into(&self, args: &[&str], stdout: Stdio) -> Done {
        let mut command = self.command(args);
        let child = command.stdout(stdout).spawn().unwrap();
        // Our own end of it would keep it open.
        drop(command);
        let ended = child.wait_with_output();
        let output = tokio::time::timeout(ENDS_WITHIN, ended).await;
        let output = output.expect("bellctl has not ended").unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::new(),
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
            .env("USER", "ada")
            .env_remove("WATCHBELL_ACTOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}
