//! Serving: start in order, run, and stop in order.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    crowds::tell_crowds,
    data::DataDir,
    loops::{keep_loops, tell_health},
    readiness::{BackupsReady, TasksReady},
    rooms::OfPolicies,
    standing::Standing,
    waiting,
};
use crate::{
    api::{Api, Backed, ServerInfo, auth::Token},
    backup::{self, Backups, OpenRepository},
    clock::SharedClock,
    config::{Config, DatabaseUrl},
    domain::ReplicaId,
    door::{self, Bounds, Door},
    engine::{self, Brought, Engine, Recovery, Registry, Rounds, Runner, Settings},
    monitor::{Monitor, SharedProbe},
    process::{self, Cgroups, Launchers},
    records::{self, ContentLimits, Documents},
    store::{Location, ReplicaRow, Store},
    tasks,
};

/// How long connections may take to end after the last run has.
const DRAIN_CONNECTIONS: std::time::Duration = std::time::Duration::from_secs(2);
/// How long a start waits for the end of the log to be found, which takes some milliseconds, before it serves.
const TAIL_BEGINS: std::time::Duration = std::time::Duration::from_millis(500);
/// How long loops may take to end where the process ends because of one that panicked.
const DRAIN_LOOPS: std::time::Duration = std::time::Duration::from_secs(5);

/// What the app takes from outside, so that a test can give it others.
pub struct Ports {
    pub clock: SharedClock,
    /// The server's own program, which starts commands, and does single steps of a backup in processes of their own.
    pub program: PathBuf,
    /// What opens repositories.
    pub repositories: Arc<dyn OpenRepository>,
    /// Adds kinds to those that ship.
    pub kinds: fn(Registry) -> Registry,
    /// Probes beside those that ship.
    pub probes: Vec<SharedProbe>,
    /// What is taken from callers.
    pub bounds: Bounds,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// An engine that nothing runs on: for what is put right offline.
pub(super) fn offline_engine(config: &Config, ports: &Ports, store: Store) -> Engine {
    Engine::new(
        store,
        ports.clock.clone(),
        Arc::new(registry(config, ports, launchers(ports), None, None)),
        replica(config, &ports.clock),
        Settings {
            default_zone: config.time_zone.clone(),
            max_running: config.max_running,
            lease: config.lease,
            audit_grace: config.audit_grace,
        },
    )
}

/// Where the configuration says that the database is.
pub fn location(config: &Config) -> Location {
    match &config.database {
        DatabaseUrl::Sqlite(path) => Location::Sqlite(path.clone()),
        DatabaseUrl::Postgres(url) => Location::Postgres(url.clone()),
    }
}

/// Serves on `listener` until `stop`, then ends in order: no new calls, slots and claims; then the
/// runs, for the configured grace; once that is over, or at `cut`, runs are asked to stop, and what
/// they leave goes back into the queue.
///
/// # Errors
/// Where something that is needed at start is missing or wrong; the message says what to do.
pub async fn serve(
    mut config: Config,
    ports: Ports,
    mut listener: TcpListener,
    stop: CancellationToken,
    cut: CancellationToken,
) -> anyhow::Result<()> {
    let location = location(&config);
    let door = door(&config, &ports);
    let file = match &location {
        Location::Sqlite(file) => Some(file.clone()),
        Location::Postgres(_) => None,
    };
    let path = config.data.clone();
    let held = blocking(move || {
        let mut data = DataDir::open(&path, file.is_some())?;
        if let Some(file) = file {
            data.hold_database(&file)?;
        }
        let token = Token::load_or_create(&data.token_file())?;
        Ok((data, Arc::new(token)))
    });
    let (data, token) = held.await?;
    let opened =
        waiting::open(&location, &ports.clock, &door, &mut listener, &token, &stop).await?;
    let Some(store) = opened else { return Ok(()) };
    let cluster_id = store.cluster_id().await?;
    let id = cluster_id.clone();
    let data = blocking(move || data.belong_to(&id).map(|()| data)).await?;
    let brought = Arc::new(brought(&config));
    engine::refuse_missing(&store, &brought).await?;

    let documents = Documents::new(
        store.clone(),
        ports.clock.clone(),
        records::Settings {
            zone: records::zone(&config.time_zone)?,
            data: config.data.clone(),
            content: ContentLimits {
                max_bytes: config.content.max_bytes,
                keep_unused_for: config.content.keep_unused_for,
            },
            types: config.document_types.clone(),
        },
    );

    let backups = Backups::new(
        store.clone(),
        ports.clock.clone(),
        backup::Settings {
            zone: records::zone(&config.time_zone)?,
            data: config.data.clone(),
            config: config.backups.clone(),
            file: config.file.clone(),
            postgres: match &config.database {
                DatabaseUrl::Postgres(url) => Some(url.clone()),
                DatabaseUrl::Sqlite(_) => None,
            },
            program: ports.program.clone(),
            opener: ports.repositories.clone(),
            cluster: cluster_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    );
    let (path, of) = (config.data.clone(), config.backups.clone());
    blocking(move || backup::make_password(&path, &of.repository, &of.password)).await?;

    let launchers = Launchers {
        cgroups: tokio::task::spawn_blocking(Cgroups::settle).await?,
        ..launchers(&ports)
    };
    let registry = registry(
        &config,
        &ports,
        launchers,
        Some(documents.clone()),
        Some(backups.clone()),
    );
    let engine = Engine::new(
        store.clone(),
        ports.clock.clone(),
        Arc::new(registry),
        replica(&config, &ports.clock),
        Settings {
            default_zone: config.time_zone.clone(),
            max_running: config.max_running,
            lease: config.lease,
            audit_grace: config.audit_grace,
        },
    );
    engine.begin_clock().await?;
    let mut probes = ports.probes.clone();
    probes.push(Arc::new(TasksReady(engine.clone())));
    probes.push(Arc::new(BackupsReady::new(
        engine.clone(),
        backup::Readiness::new(backups.clone()),
    )));
    let monitor = Monitor::new(engine.clone(), documents.clone(), backups.clone(), probes);
    let policies = |always| -> Arc<dyn backup::PolicyTasks> {
        let engine = engine.clone();
        Arc::new(OfPolicies { engine, always })
    };
    let standing = Standing {
        engine: engine.clone(),
        monitor: monitor.clone(),
        backups: backups.clone(),
        policy_tasks: policies(true),
        tasks: Arc::new(std::mem::take(&mut config.tasks)),
        brought,
        is_put_off: Arc::default(),
    };
    standing.begin().await?;

    // Before their runs are taken over, so that no two attempts of one run overlap.
    match tasks::end_left(&config.data).await {
        Ok(0) => {}
        Ok(count) => warn!("ended what a killed server had left running, commands: {count}"),
        Err(error) => warn!("could not end what a killed server had left: {error:#}"),
    }
    let runner = Runner::new(engine.clone());
    let mut recovery = Recovery::new(&runner);
    recovery.take_over().await?;
    let rounds = Rounds::default();
    let mut jobs = rounds.start(&engine).await?;

    let background = CancellationToken::new();
    monitor.start(&background);
    let supervisor = monitor.supervisor();
    keep_loops(&engine, &monitor, &rounds, &recovery, &stop, &background);
    let until = stop.clone();
    supervisor.keep("configuration", &stop, move || {
        standing.clone().run(until.clone())
    });
    let mut runs = supervisor.once("runner", &stop, runner.run(stop.clone(), cut.clone()));

    let info = ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_id,
        log_epoch: store.log_epoch().await?,
        max_running: config.max_running,
    };
    let (front, health) = Api::new(
        engine.clone(),
        monitor.clone(),
        documents,
        Backed {
            backups,
            policy_tasks: policies(false),
        },
        token,
        stop.clone(),
        info,
    )
    .front()?;
    // Every name is known before the first call; whether it serves is told at once.
    health.stop().await;
    let (told_by, own, until) = (monitor.clone(), engine.replica().id, stop.clone());
    supervisor.keep("health", &stop, move || {
        tell_health(told_by.clone(), own, health.clone(), until.clone())
    });
    // What is decided does not wait for it, and what is asked no longer than this; watches are answered UNAVAILABLE until
    // then.
    let begins = tokio::time::timeout(TAIL_BEGINS, store.tail().begins());
    if let Some(Err(_)) = stop.run_until_cancelled(begins).await {
        warn!("it is not known yet where the log of events ends: watches begin once it is");
    }
    let address = listener.local_addr()?;
    let most = door.bounds().connections;
    info!(
        %address, storage = store.kind(), data = %data.path().display(), connections = most, "listening on {address}"
    );

    let ended = CancellationToken::new();
    let served = door.clone().serve(listener, front, ended.clone());
    let mut serving = supervisor.once("server", &ended, served);
    let (told_by, clock, until) = (monitor.clone(), ports.clock.clone(), background.clone());
    supervisor.keep("door", &background, move || {
        tell_crowds(told_by.clone(), clock.clone(), door.clone(), until.clone())
    });

    tokio::select! {
        () = stop.cancelled() => {}
        _ = supervisor.failed() => {
            stop.cancel();
            cut.cancel();
        }
    }
    info!("stopping: no new slots, claims or calls; waiting for runs under way");
    if tokio::time::timeout(config.shutdown_grace, &mut runs)
        .await
        .is_err()
    {
        warn!("runs still under way after the grace: asking them to stop");
        cut.cancel();
        runs.await.context("the runner's task was lost")?;
    }
    ended.cancel();
    // An idle connection could hold the server for an hour.
    if tokio::time::timeout(DRAIN_CONNECTIONS, &mut serving)
        .await
        .is_err()
    {
        serving.abort();
        info!("cut connections that did not end by themselves");
    }
    if let Err(error) = jobs.shutdown().await {
        warn!(%error, "the rounds did not end in order");
    }
    background.cancel();
    match supervisor.failure() {
        None => supervisor.wait().await,
        // What else of it hangs must not keep it from ending.
        Some(_) => drop(tokio::time::timeout(DRAIN_LOOPS, supervisor.wait()).await),
    }
    // A watch that was cut may still hold a connection.
    let closed = tokio::time::timeout(DRAIN_CONNECTIONS, store.close()).await;
    if closed.is_err() {
        info!("cut connections to the database that did not end by themselves");
    }
    info!("stopped");
    match supervisor.failure() {
        None => Ok(()),
        Some(why) => Err(anyhow::anyhow!(why)),
    }
}

/// What takes connections: as many as are configured, or as this process may have files open beside what else it needs.
fn door(config: &Config, ports: &Ports) -> Door {
    let room = door::room_for(process::raise_open_files(), config.max_running);
    let connections = config.max_connections.min(room);
    if connections < config.max_connections {
        warn!(
            "max_connections is {}, and this process may not have so many files open: at most {connections} are taken; \
             raise LimitNOFILE of its unit, or the hard limit of `ulimit -n`",
            config.max_connections
        );
    }
    Door::new(Bounds {
        connections,
        ..ports.bounds.clone()
    })
}

/// Work on files, off the runtime's threads: a disk that does not answer holds nobody else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// What starts commands, for who only looks at them.
pub(super) fn launchers(ports: &Ports) -> Launchers {
    Launchers {
        program: ports.program.clone(),
        cgroups: None,
    }
}

pub(super) fn registry(
    config: &Config,
    ports: &Ports,
    launchers: Launchers,
    documents: Option<Documents>,
    backups: Option<Backups>,
) -> Registry {
    (ports.kinds)(tasks::registry(&tasks::Env::new(
        config, launchers, documents, backups,
    )))
}

fn brought(config: &Config) -> Brought {
    Brought {
        hash: config.hash.clone(),
        basis: config.basis.clone(),
        file: config.file.clone(),
        tasks: config.tasks.keys().cloned().collect(),
        without: config.without_configuration,
        apply_older: config.apply_older,
    }
}

fn replica(config: &Config, clock: &SharedClock) -> ReplicaRow {
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|host| host.into_string().ok());
    let now = clock.now();
    ReplicaRow {
        id: ReplicaId::new(),
        host: host.unwrap_or_else(|| "unknown".to_owned()),
        process_id: i64::from(std::process::id()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        configuration_hash: config.hash.clone(),
        rules: String::new(),
        started_at: now,
        seen_at: now,
    }
}
