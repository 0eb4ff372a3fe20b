//! The real server, as a process.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    calls::{Client, Connection},
    database::{Database, Kind},
};

/// How long a server may take to serve: it may have 10,000 tasks to make.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Where the server program is.
///
/// # Errors
/// Where there is none.
pub(crate) fn program(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("watchbell");
    let program = given.unwrap_or(beside);
    if !program.is_file() {
        bail!(
            "there is no server {}: run `make bench`, which builds it",
            program.display()
        );
    }
    Ok(program)
}

/// What servers that are started one after another share: data directory, database, configuration.
#[derive(Debug)]
pub(crate) struct Site {
    program: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) database: Database,
}

impl Site {
    /// In a folder beside the program: the system's temporary folder may be in memory, where a commit
    /// costs nothing.
    pub(crate) async fn new(program: &Path, kind: Kind, toml: &str) -> anyhow::Result<Self> {
        let parent = program.parent().context("the program has a folder")?;
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(parent)
            .with_context(|| format!("could not make a folder in {}", parent.display()))?;
        let site = Self {
            program: program.to_owned(),
            folder,
            database: Database::create(kind).await?,
        };
        site.configure(toml)?;
        Ok(site)
    }

    /// Has the next start read another configuration.
    pub(crate) fn configure(&self, toml: &str) -> anyhow::Result<()> {
        let file = self.folder.path().join("watchbell.toml");
        fs::write(&file, toml).with_context(|| format!("could not write {}", file.display()))
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts a server, and waits until it is SERVING.
    pub(crate) async fn start(&self) -> anyhow::Result<Server> {
        // Free now; nobody else is expected to take it within a moment.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let began = Instant::now();
        let mut child = self
            .command("serve")
            .args(["--listen", &address])
            .stderr(Stdio::piped())
            .spawn()
            .context("could not start the server")?;
        let log = Log::of(&mut child)?;
        let mut server = Server {
            child,
            log,
            endpoint: format!("http://{address}"),
            token: String::new(),
            serving_after: Duration::ZERO,
        };
        while !server.is_serving().await {
            if server.child.try_wait()?.is_some() || START_LIMIT < began.elapsed() {
                bail!("the server does not serve; it wrote\n{}", server.log.text());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.serving_after = began.elapsed();
        let token = self.data().join("token");
        let read = fs::read_to_string(&token);
        let read = read.with_context(|| format!("could not read {}", token.display()))?;
        server.token = read.trim().to_owned();
        Ok(server)
    }

    /// What `watchbell audit-slots` finds: it must be nothing.
    pub(crate) fn audit(&self) -> anyhow::Result<()> {
        let done = self.command("audit-slots").output();
        let done = done.with_context(|| format!("could not start {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&done.stdout);
        if !done.status.success() {
            let errors = String::from_utf8_lossy(&done.stderr);
            bail!("audit-slots: {}\n{said}\n{errors}", done.status);
        }
        Ok(())
    }

    /// Ends with everything in it.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        self.database.remove().await
    }

    fn command(&self, command: &str) -> Command {
        let mut watchbell = Command::new(&self.program);
        watchbell
            .arg(command)
            .args(["--config", "watchbell.toml", "--data", "data"])
            // Not by a flag: others can read those.
            .env("WATCHBELL_DATABASE", self.database.url())
            .env_remove("WATCHBELL_CONFIG")
            .env_remove("WATCHBELL_TEST_DATABASE")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        watchbell
    }
}

/// A server that serves. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) log: Log,
    pub(crate) endpoint: String,
    pub(crate) token: String,
    /// From the start of the process to the first health check that said SERVING.
    pub(crate) serving_after: Duration,
}

impl Server {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Over a connection of its own.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        Connection::open(&self.endpoint, &self.token).await
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// Also where it had ended before, or does not end well: what it took until then says nothing.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.child.try_wait()? {
            bail!(
                "the server had ended by itself, {ended}; it wrote\n{}",
                self.log.text()
            );
        }
        kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGTERM,
        )?;
        let began = Instant::now();
        let ended = loop {
            if let Some(ended) = self.child.try_wait()? {
                break ended;
            }
            if Duration::from_secs(60) < began.elapsed() {
                bail!("the server does not stop; it wrote\n{}", self.log.text());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        ensure!(
            ended.success(),
            "the server was stopped, and ended by {ended}; it wrote\n{}",
            self.log.text()
        );
        Ok(())
    }

    async fn is_serving(&self) -> bool {
        let Ok(endpoint) = tonic::transport::Endpoint::from_shared(self.endpoint.clone()) else {
            return false;
        };
        let Ok(channel) = endpoint.connect().await else {
            return false;
        };
        let mut health = HealthClient::new(channel);
        let answer = health.check(HealthCheckRequest::default()).await;
        answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended where these fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server has written to its log.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn of(child: &mut Child) -> anyhow::Result<Self> {
        let from = child.stderr.take().context("no standard error")?;
        let log = Self(Arc::default());
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                kept.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        Ok(log)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }
}
