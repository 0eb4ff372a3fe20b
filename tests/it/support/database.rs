//! A fresh database for each story, gone with it. Its schema is up to date: it is copied from one that was
//! brought there once, since a schema takes longer to make than most stories to tell.

use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::template;

/// Where PostgreSQL is; `scripts/test-postgres` sets it.
const VARIABLE: &str = "WATCHBELL_TEST_DATABASE";

/// A database that nobody else uses.
#[derive(Debug)]
pub(crate) enum Database {
    /// In the data directory.
    Sqlite,
    /// A database of its own on the tests' server.
    Postgresql { server: String, name: String },
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite
    }

    /// None, with a word, where there is no PostgreSQL: `make test` gives one.
    #[expect(clippy::disallowed_methods, reason = "a test's own setting")]
    pub(crate) async fn postgresql() -> Option<Self> {
        let Ok(server) = std::env::var(VARIABLE) else {
            eprintln!("SKIPPED on PostgreSQL: {VARIABLE} is not set; run `make test`");
            return None;
        };
        let template = template::postgresql(&server).await;
        // Its files are copied, which writes no log: that is half the work where a database is small.
        let how = format!("TEMPLATE {template} STRATEGY FILE_COPY");
        Some(Self::create(server, &how).await)
    }

    /// Another of the kind, of which the first server makes the schema; on SQLite it takes a
    /// [`super::Site::bare`].
    pub(crate) async fn empty(&self) -> Self {
        match self {
            Self::Sqlite => Self::Sqlite,
            Self::Postgresql { server, .. } => Self::create(server.clone(), "").await,
        }
    }

    async fn create(server: String, how: &str) -> Self {
        let name = format!("watchbell_{}", uuid::Uuid::now_v7().simple());
        let create = format!("CREATE DATABASE {name} {how}");
        let admin = connect(&server).await;
        admin.execute_unprepared(&create).await.unwrap();
        Self::Postgresql { server, name }
    }

    /// As `--database` takes it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite => "sqlite".to_owned(),
            Self::Postgresql { server, name } => url_of(server, name),
        }
    }

    pub(crate) fn is_postgresql(&self) -> bool {
        matches!(self, Self::Postgresql { .. })
    }

    /// A connection past the product, for a test that plays fate.
    pub(crate) async fn connect(&self, data: &std::path::Path) -> DatabaseConnection {
        match self {
            Self::Sqlite => {
                let file = data.join("watchbell.db");
                connect(&format!("sqlite://{}", file.display())).await
            }
            Self::Postgresql { .. } => connect(&self.url()).await,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Self::Postgresql { server, name } = self else {
            return;
        };
        let (server, drop) = (
            server.clone(),
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        );
        // A drop cannot wait for a future of the runtime it runs on.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                if let Err(error) = connect(&server).await.execute_unprepared(&drop).await {
                    eprintln!("{drop}: {error}");
                }
            });
        });
        if dropped.join().is_err() {
            eprintln!("a test database was left behind");
        }
    }
}

/// The database of this name, on the server of this URL.
pub(super) fn url_of(server: &str, name: &str) -> String {
    let (before, query) = server.split_once('?').unwrap_or((server, ""));
    let host = before.rsplit_once('/').map_or(before, |(host, _)| host);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{host}/{name}{mark}{query}")
}

pub(super) async fn connect(url: &str) -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}
