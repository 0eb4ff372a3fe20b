//! The real server in a runtime of its own, so that a test can kill it like a process.

use std::{
    fs::Permissions,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use watchbell::{
    app::{self, Ports},
    backup::{Directories, OpenRepository},
    clock::{Clock as _, ManualClock, SharedClock},
    config::{Config, Flags},
    door::Bounds,
    engine,
    monitor::SharedProbe,
    store::{Location, Store},
};
use watchbell_client::{client::Client, pb};

use super::{Database, at, noon, stage, template, until, within};

/// What servers of one cluster share: database, data directory, configuration and clock.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) clock: ManualClock,
    pub(crate) database: Database,
    data: tempfile::TempDir,
    toml: String,
    /// On SQLite: whether there is a database to begin with, or none is wanted.
    provided: AtomicBool,
    /// Whether the next server applies its configuration over a newer one.
    pub(crate) apply_older: bool,
    /// What opens its repositories.
    pub(crate) repositories: Arc<dyn OpenRepository>,
    /// Probes beside those that ship.
    pub(crate) probes: Vec<SharedProbe>,
    /// What is taken from callers.
    pub(crate) bounds: Bounds,
    /// A clock with a fault, in place of its own.
    pub(crate) port: Option<SharedClock>,
}

/// A server under test.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) clock: ManualClock,
    runtime: Option<Runtime>,
    serving: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
    cut: CancellationToken,
    config: Config,
}

impl Site {
    pub(crate) fn new(database: Database) -> Self {
        Self::configured(database, "")
    }

    /// With a configuration file.
    pub(crate) fn configured(database: Database, toml: &str) -> Self {
        Self {
            clock: ManualClock::at(noon()),
            provided: AtomicBool::new(database.is_postgresql()),
            database,
            data: tempfile::tempdir().unwrap(),
            toml: toml.to_owned(),
            apply_older: false,
            repositories: Arc::new(Directories),
            probes: Vec::new(),
            bounds: Bounds::default(),
            port: None,
        }
    }

    /// Of which the first server makes the schema.
    pub(crate) fn bare(database: Database) -> Self {
        let site = Self::new(database);
        site.provided.store(true, Ordering::Relaxed);
        site
    }

    /// What the next server will read.
    pub(crate) fn configure(&mut self, toml: &str) {
        toml.clone_into(&mut self.toml);
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Where its database is, past the product.
    pub(crate) fn location(&self) -> Location {
        match self.database.is_postgresql() {
            true => Location::Postgres(self.database.url()),
            false => Location::Sqlite(self.data().join("watchbell.db")),
        }
    }

    pub(crate) async fn start(&self) -> Server {
        self.start_on(&self.database.url()).await
    }

    /// On the database by another way, such as a wire that can be cut.
    pub(crate) async fn start_on(&self, database: &str) -> Server {
        match self.try_start_on(database).await {
            Ok(server) => server,
            Err(error) => panic!("the server did not start: {error:#}"),
        }
    }

    pub(crate) async fn try_start(&self) -> anyhow::Result<Server> {
        self.try_start_on(&self.database.url()).await
    }

    async fn try_start_on(&self, database: &str) -> anyhow::Result<Server> {
        let file = self.data.path().join("watchbell.toml");
        std::fs::write(&file, &self.toml)?;
        if !self.provided.swap(true, Ordering::Relaxed) {
            let database = self.data.path().join("watchbell.db");
            std::fs::write(&database, template::sqlite().await)?;
            std::fs::set_permissions(&database, Permissions::from_mode(0o600))?;
        }
        let config = Config::load(&Flags {
            config: Some(file),
            data: Some(self.data.path().to_owned()),
            database: Some(database.to_owned()),
            listen: Some("127.0.0.1:0".to_owned()),
            apply_older: self.apply_older,
            ..Flags::default()
        })?;
        let listener = std::net::TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let ports = Ports {
            clock: self
                .port
                .clone()
                .unwrap_or_else(|| Arc::new(self.clock.clone())),
            program: env!("CARGO_BIN_EXE_watchbell").into(),
            repositories: self.repositories.clone(),
            kinds: stage::kinds,
            probes: self.probes.clone(),
            bounds: self.bounds.clone(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let served = config.clone();
        let (stopped, at_once) = (stop.clone(), cut.clone());
        let mut serving = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            app::serve(served, ports, listener, stopped, at_once).await
        });
        let token = self.data.path().join("token");
        let client = tokio::select! {
            ended = &mut serving => {
                runtime.shutdown_background();
                return match ended? {
                    Ok(()) => Err(anyhow::anyhow!("it ended at once")),
                    Err(error) => Err(error),
                };
            }
            client = until("the server to answer", async || {
                let token = std::fs::read_to_string(&token).ok()?;
                let endpoint = format!("http://{address}");
                let client = Client::connect(&endpoint, &token).await.ok()?;
                let info = pb::GetServerInfoRequest {};
                client.scheduler().get_server_info(info).await.ok()?;
                Some(client)
            }) => client,
        };
        Ok(Server {
            client,
            address,
            clock: self.clock.clone(),
            runtime: Some(runtime),
            serving,
            stop,
            cut,
            config,
        })
    }
}

impl Server {
    /// Stops in order, and looks that nothing is wrong with what is left.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = within("the server to stop", &mut self.serving).await;
        ended.unwrap().unwrap();
        self.audit().await;
    }

    /// Begins to stop; runs under way have the configured grace.
    pub(crate) fn drain(&self) {
        self.stop.cancel();
    }

    /// As a second signal does.
    pub(crate) fn cut(&self) {
        self.stop.cancel();
        self.cut.cancel();
    }

    /// Waits for the end of a server that was told to stop.
    pub(crate) async fn stopped(mut self) {
        let ended = within("the server to stop", &mut self.serving).await;
        ended.unwrap().unwrap();
        self.audit().await;
    }

    /// Why a server ended that nobody told to.
    pub(crate) async fn fails(mut self) -> String {
        let ended = within("the server to end", &mut self.serving).await;
        let error = ended.unwrap().unwrap_err();
        format!("{error:#}")
    }

    /// As SIGKILL does: nothing is finished, told or given back.
    pub(crate) async fn kill(mut self) {
        let runtime = self.runtime.take().expect("it lives");
        let killed =
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)));
        within("the server to die", killed).await.unwrap();
    }

    /// Moves the clock of every server of the site.
    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn create(&self, name: &str, task: pb::Task) -> pb::Task {
        let request = pb::CreateTaskRequest {
            task_id: name.to_owned(),
            task: Some(task),
            ..Default::default()
        };
        let answer = self.client.tasks().create_task(request).await.unwrap();
        answer.into_inner().task.unwrap()
    }

    pub(crate) async fn task(&self, name: &str) -> pb::Task {
        let request = pb::GetTaskRequest {
            name: format!("tasks/{name}"),
        };
        let answer = self.client.tasks().get_task(request).await.unwrap();
        answer.into_inner().task.unwrap()
    }

    pub(crate) async fn trigger(&self, name: &str) -> pb::Run {
        let request = pb::TriggerTaskRequest {
            name: format!("tasks/{name}"),
            ..Default::default()
        };
        let answer = self.client.tasks().trigger_task(request).await.unwrap();
        answer.into_inner().run.unwrap()
    }

    pub(crate) async fn run(&self, name: &str) -> pb::Run {
        let request = pb::GetRunRequest {
            name: name.to_owned(),
        };
        let answer = self.client.runs().get_run(request).await.unwrap();
        answer.into_inner().run.unwrap()
    }

    /// The run once it has ended.
    pub(crate) async fn ended(&self, name: &str) -> pb::Run {
        within(&format!("the end of {name}"), async {
            loop {
                let request = pb::WaitRunRequest {
                    name: name.to_owned(),
                    timeout: None,
                };
                let answer = self.client.runs().wait_run(request).await.unwrap();
                let answer = answer.into_inner();
                if answer.done {
                    return answer.run.unwrap();
                }
            }
        })
        .await
    }

    /// The run once it is in this state.
    pub(crate) async fn reaches(&self, name: &str, state: pb::RunState) -> pb::Run {
        let what = format!("{name} to be {}", state.as_str_name());
        until(&what, async || {
            Some(self.run(name).await).filter(|run| run.state() == state)
        })
        .await
    }

    /// The task's runs, oldest first.
    pub(crate) async fn runs_of(&self, name: &str) -> Vec<pb::Run> {
        let request = pb::ListRunsRequest {
            task: format!("tasks/{name}"),
            page_size: 1000,
            full: true,
            ..Default::default()
        };
        let answer = self.client.runs().list_runs(request).await.unwrap();
        let mut runs = answer.into_inner().runs;
        runs.reverse();
        runs
    }

    /// The task's ledger, oldest first.
    pub(crate) async fn slots_of(&self, name: &str) -> Vec<pb::Slot> {
        let request = pb::ListSlotsRequest {
            task: format!("tasks/{name}"),
            page_size: 1000,
            ..Default::default()
        };
        let answer = self.client.tasks().list_slots(request).await.unwrap();
        let mut slots = answer.into_inner().slots;
        slots.reverse();
        slots
    }

    /// The ledger in short, once everything up to `upto` is decided: outcome and count of each row.
    pub(crate) async fn decided(&self, name: &str, upto: Timestamp) -> Vec<(String, i64)> {
        let what = format!("{name} to be decided up to {upto}");
        until(&what, async || {
            let task = self.task(name).await;
            let decided: Timestamp = at(&task.decided_until_time).parse().unwrap();
            (upto <= decided).then_some(())
        })
        .await;
        let slots = self.slots_of(name).await;
        let short = |slot: &pb::Slot| {
            let outcome = slot.outcome().as_str_name();
            let outcome = outcome.strip_prefix("SLOT_OUTCOME_").unwrap_or(outcome);
            (outcome.to_owned(), slot.count)
        };
        slots.iter().map(short).collect()
    }

    pub(crate) async fn status(&self) -> pb::Status {
        let answer = self
            .client
            .scheduler()
            .get_status(pb::GetStatusRequest {})
            .await;
        answer.unwrap().into_inner().status.unwrap()
    }

    /// Every slot is accounted for once: what `watchbell audit-slots` says.
    async fn audit(&self) {
        let clock = Arc::new(self.clock.clone());
        let store = Store::open_existing(&app::location(&self.config), clock)
            .await
            .unwrap();
        let grace = Duration::from_secs(60);
        let zone = &self.config.time_zone;
        let audit = engine::audit(&store, zone, self.now(), grace)
            .await
            .unwrap();
        let wrong = |finding: &engine::Finding| finding.kind.as_str() == "ledger.hole";
        for (task, findings) in &audit.tasks {
            let holes = findings.iter().any(wrong);
            assert!(!holes, "the ledger of {task}: {findings:?}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
