//! What the log tells of problems.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde::Deserialize;

use crate::support::{Site, until};

/// An event of a problem, in short.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    #[serde(skip)]
    pub(super) what: String,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) severity: String,
    pub(super) message: String,
    pub(super) since: String,
    pub(super) probe: String,
    pub(super) cleared_at: Option<String>,
}

/// The log past the product.
#[derive(Debug)]
pub(super) struct Log(DatabaseConnection);

impl Log {
    pub(super) async fn of(site: &Site) -> Self {
        Self(site.database.connect(site.data()).await)
    }

    /// All events of problems of a kind, in order.
    pub(super) async fn told(&self, kind: &str) -> Vec<Told> {
        let query =
            "SELECT kind, payload FROM events WHERE kind LIKE 'problem.%' ORDER BY sequence";
        let statement = Statement::from_string(self.0.get_database_backend(), query);
        let rows = self.0.query_all_raw(statement).await.unwrap();
        let read = |row: &sea_orm::QueryResult| {
            let what: String = row.try_get_by_index(0).unwrap();
            let payload: String = row.try_get_by_index(1).unwrap();
            let mut told: Told = serde_json::from_str(&payload).unwrap();
            what.strip_prefix("problem.")
                .unwrap()
                .clone_into(&mut told.what);
            told
        };
        let told: Vec<Told> = rows.iter().map(read).collect();
        told.into_iter().filter(|told| told.kind == kind).collect()
    }

    /// The same once there are so many.
    pub(super) async fn tells(&self, kind: &str, count: usize) -> Vec<Told> {
        until(&format!("{count} events of {kind}"), async || {
            Some(self.told(kind).await).filter(|told| count <= told.len())
        })
        .await
    }

    /// Who looks for the cluster, and how often that one's pulse has beaten.
    pub(super) async fn lease(&self) -> Option<String> {
        let query = "SELECT value FROM cluster WHERE key = 'monitor_lease'";
        let statement = Statement::from_string(self.0.get_database_backend(), query);
        let row = self.0.query_one_raw(statement).await.unwrap();
        row.map(|row| row.try_get_by_index(0).unwrap())
    }

    pub(super) async fn run(&self, text: &str) {
        self.0.execute_unprepared(text).await.unwrap();
    }
}
