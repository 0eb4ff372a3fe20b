//! A cluster under fire: its database, its replicas and its clients.

use std::{
    collections::BTreeMap, net::SocketAddr, path::PathBuf, process::Command, time::Duration,
};

use uuid::Uuid;
use watchbell::clock::Stopwatch;
use watchbell_client::{client::Client, pb};

use super::{
    door::Door,
    figures::Figures,
    form::Form,
    look::Look,
    pace::{pass, soon},
    postgres::Postgres,
    replica::Replica,
    tokens::Tokens,
    watchers::Watcher,
    workload::{BY_HAND, Caller, Load, trigger},
};
use crate::{process::harness::Place, support::Database};

/// How long the runs that are under way at the end may take to end.
pub(super) const CALM_WITHIN: Duration = Duration::from_secs(60);
/// How long deciding may take to go on after a blow.
const DECIDED_WITHIN: Duration = Duration::from_secs(60);
pub(super) const LEASES_LOST: &str = "\
    SELECT (SELECT count(*) FROM run_attempts WHERE reason = 'LEASE_LOST') \
    + (SELECT count(*) FROM runs WHERE reason = 'LEASE_LOST')";

/// Where the cluster keeps its tables.
#[derive(Debug)]
pub(super) enum Ground {
    /// A file; in the data directory where it is not told where.
    Sqlite(Option<PathBuf>),
    /// A database on the PostgreSQL that all tests share.
    Shared(Database),
    /// A PostgreSQL of the story's own.
    Own(Box<Postgres>),
}

#[derive(Debug)]
pub(super) struct Arena {
    pub(super) form: Form,
    pub(super) figures: Figures,
    pub(super) ground: Ground,
    pub(super) place: Place,
    pub(super) replicas: Vec<Replica>,
    pub(super) door: Door,
    pub(super) tokens: Tokens,
    /// What the servers find in their environment.
    pub(super) environment: Vec<(String, String)>,
    load: Load,
    watch: Stopwatch,
    pub(super) watchers: Vec<Watcher>,
    pub(super) caller: Option<Caller>,
}

impl Ground {
    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Shared(_) | Self::Own(_) => "PostgreSQL",
        }
    }
}

impl From<Database> for Ground {
    fn from(database: Database) -> Self {
        match database {
            Database::Sqlite => Self::Sqlite(None),
            shared @ Database::Postgresql { .. } => Self::Shared(shared),
        }
    }
}

impl Arena {
    pub(super) async fn new(story: &'static str, ground: Ground, lease: &str, load: Load) -> Self {
        let place = Place::new(&format!(
            "bench_kinds = true\nlease = \"{lease}\"\nshutdown_grace = \"1s\"\n"
        ));
        let watch = Stopwatch::start();
        let figures = Figures {
            story,
            database: ground.name(),
            tasks: load.count(),
            ..Figures::default()
        };
        let tokens = Tokens::follow(place.data().join("bench-tokens.log"), watch);
        Self {
            form: Form::now(),
            figures,
            ground,
            place,
            replicas: Vec::new(),
            door: Door::open().await,
            tokens,
            environment: Vec::new(),
            load,
            watch,
            watchers: Vec::new(),
            caller: None,
        }
    }

    /// Since the story began.
    pub(super) fn now(&self) -> Duration {
        self.watch.elapsed()
    }

    pub(super) fn url(&self) -> String {
        match &self.ground {
            Ground::Sqlite(None) => "sqlite".to_owned(),
            Ground::Sqlite(Some(file)) => format!("sqlite://{}", file.display()),
            Ground::Shared(database) => database.url(),
            Ground::Own(postgres) => postgres.url(),
        }
    }

    pub(super) async fn look(&self) -> Look {
        let url = match &self.ground {
            Ground::Sqlite(None) => format!("sqlite://{}", self.place.database().display()),
            _ => self.url(),
        };
        Look::into(&url).await
    }

    /// A server in the making, on the database by this way.
    pub(super) fn server(&self, database: &str) -> Command {
        let flags = ["--listen", "127.0.0.1:0", "--database", database];
        let mut server = self.place.watchbell("serve", &flags);
        server.envs(self.environment.clone());
        server
    }

    /// Starts one more replica.
    pub(super) async fn start(&mut self) {
        self.start_on(&self.url()).await;
    }

    /// So many replicas, one after another.
    pub(super) async fn start_all(&mut self, replicas: usize) {
        for _ in 0..replicas {
            self.start().await;
        }
    }

    pub(super) async fn start_on(&mut self, database: &str) {
        let replica = Replica::start(self.server(database)).await;
        self.replicas.push(replica);
        self.figures.replicas = self.figures.replicas.max(self.replicas.len());
        self.lead_to_all();
    }

    pub(super) fn lead_to_all(&self) {
        let all = self.replicas.iter().map(|replica| replica.address);
        self.door.lead_to(all.collect());
    }

    /// Leads clients to all but this one, as who checks its health would.
    pub(super) fn lead_past(&self, address: SocketAddr) {
        let all = self.replicas.iter().map(|replica| replica.address);
        self.door
            .lead_to(all.filter(|other| *other != address).collect());
    }

    /// A client that comes by the door.
    pub(super) fn client(&self) -> Client {
        self.client_at(&self.door.endpoint())
    }

    /// A client of this replica and no other.
    pub(super) fn client_of(&self, address: SocketAddr) -> Client {
        self.client_at(&format!("http://{address}"))
    }

    fn client_at(&self, endpoint: &str) -> Client {
        let token = std::fs::read_to_string(self.token_file()).unwrap();
        Client::connect_lazily(endpoint, &token).unwrap()
    }

    pub(super) fn token_file(&self) -> PathBuf {
        self.place.data().join("token")
    }

    /// Lets watchers and a caller in, and makes the tasks: from here on they fire.
    pub(super) async fn begin(&mut self) {
        let (living, token) = (self.door.living(), self.token_file());
        self.watchers
            .push(Watcher::by_hand(living, token, "by hand").await);
        let client = self.client();
        self.watchers
            .push(Watcher::by_library(client.clone(), "by the library", "").await);
        self.load.make(&client).await;
        let task = format!("tasks/{BY_HAND}");
        self.watchers
            .push(Watcher::by_library(client.clone(), "of one task", &task).await);
        self.caller = Some(Caller::start(client));
        self.decides("the storm to begin").await;
    }

    /// Waits until every task has a slot decided that is not decided now; says how long that took.
    pub(super) async fn decides(&self, what: &str) -> Duration {
        let look = self.look().await;
        let firing = "FROM tasks WHERE next_slot_at IS NOT NULL AND name LIKE '%-%' \
                      AND (name LIKE 'noop-%' OR name LIKE 'once-%' OR name LIKE 'token-%')";
        let newest = soon("the cursors", DECIDED_WITHIN, async || {
            look.number(&format!("SELECT max(cursor_at) {firing}"))
                .await
        });
        let (newest, _) = newest.await;
        let decided = soon(what, DECIDED_WITHIN, async || {
            let oldest = look
                .number(&format!("SELECT min(cursor_at) {firing}"))
                .await?;
            (newest < oldest).then_some(())
        });
        decided.await.1
    }

    /// From now, when the database works again, to the next slot decided and to the answer of a call with
    /// this id.
    pub(super) async fn serves_again(&mut self, id: &str) {
        let look = self.look().await;
        let newest = "SELECT max(cursor_at) FROM tasks";
        let before = look.number(newest).await;
        let client = self.client();
        let decided = soon("a slot to be decided", DECIDED_WITHIN, async || {
            let now = look.number(newest).await?;
            (before < Some(now)).then_some(())
        });
        let answered = soon("a call to be answered", DECIDED_WITHIN, async || {
            trigger(&client, id).await.ok()
        });
        let (decided, answered) = tokio::join!(decided, answered);
        self.figures.decided_again_s.push(decided.1.as_secs_f64());
        self.figures.answered_again_s.push(answered.1.as_secs_f64());
        self.figures.calls.answered += 1;
    }

    /// What handlers of this replica have under way, once there is something: who is to be robbed must have
    /// it.
    pub(super) async fn under_way(&self, replica: &Replica) -> BTreeMap<Uuid, i64> {
        let held = soon("a handler in the replica", CALM_WITHIN, async || {
            Some(self.tokens.held_by(replica.id())).filter(|held| !held.is_empty())
        });
        held.await.0
    }

    /// Waits until the others have decided every task, and have begun anew all of this.
    pub(super) async fn others_go_on(&mut self, held: &BTreeMap<Uuid, i64>, since: Duration) {
        let taken_over = async {
            let mut seconds = Vec::with_capacity(held.len());
            for (run, token) in held {
                let started = soon("a run to be taken over", CALM_WITHIN, async || {
                    self.tokens.started_after(*run, *token)
                });
                let (started_at, _) = started.await;
                seconds.push(started_at.saturating_sub(since).as_secs_f64());
            }
            seconds
        };
        let decided = self.decides("the others to decide alone");
        let (taken_over, decided) = tokio::join!(taken_over, decided);
        self.figures.taken_over_s.extend(taken_over);
        self.figures.decided_by_others_s.push(decided.as_secs_f64());
    }

    /// Orders so many runs of a task.
    pub(super) async fn order(&mut self, task: &str, runs: usize) {
        let client = self.client();
        for _ in 0..runs {
            let request = pb::TriggerTaskRequest {
                name: format!("tasks/{task}"),
                ..Default::default()
            };
            client.tasks().trigger_task(request).await.unwrap();
            self.figures.calls.answered += 1;
        }
    }

    pub(super) async fn blow_for(&self, span: Duration) {
        pass(span).await;
    }

    /// How many attempts were taken from their replica so far.
    pub(super) async fn leases_lost(&self) -> i64 {
        self.look().await.number(LEASES_LOST).await.unwrap()
    }
}
