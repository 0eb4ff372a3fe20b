//! What is there to be pruned: logs and events of long ago.

use anyhow::Context as _;
use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

use crate::database::{self, Kind};

/// Chunks of a log, and the bytes of each.
pub(super) const CHUNKS: usize = 4;
pub(super) const BYTES: usize = 64 << 10;

/// Gives the oldest runs a log, and makes events of that time.
pub(super) async fn fill(
    database: &DatabaseConnection,
    kind: Kind,
    (logs, events): (usize, usize),
    at: Timestamp,
) -> anyhow::Result<()> {
    let at = at.as_microsecond();
    let (body, numbers) = match kind {
        Kind::Sqlite => (
            format!("randomblob({BYTES})"),
            "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {many}) SELECT n FROM c)",
        ),
        Kind::Postgresql => (
            format!(
                "decode(repeat(md5(r.id::text || n.n), {}), 'hex')",
                BYTES / 16
            ),
            "(SELECT generate_series(1::bigint, {many}) AS n)",
        ),
    };
    let of = |many: usize| numbers.replace("{many}", &many.to_string());
    let chunks = format!(
        "INSERT INTO run_log_chunks (run_id, attempt, line, lines, body) \
         SELECT r.id, 1, n.n * 100, 100, {body} FROM {} n, (SELECT id FROM runs ORDER BY id LIMIT {logs}) r",
        of(CHUNKS)
    );
    database::insert(database, &chunks, logs * CHUNKS).await?;
    // Numbered behind those that are there, which are of then as well: events are in order of their time.
    let older = format!("UPDATE events SET at = {at}");
    database.execute_unprepared(&older).await?;
    let rows = format!(
        "INSERT INTO events (at, kind, task_id, subject, payload) \
         SELECT {at}, e.kind, e.task_id, e.subject, e.payload \
         FROM {} n, (SELECT * FROM events WHERE task_id IS NOT NULL ORDER BY sequence DESC LIMIT 1) e",
        of(events)
    );
    database::insert(database, &rows, events).await?;
    if kind == Kind::Postgresql {
        database.execute_unprepared("VACUUM ANALYZE").await?;
    }
    Ok(())
}

/// Counts the chunks of such logs that are there.
pub(super) async fn chunks_left(database: &DatabaseConnection) -> anyhow::Result<i64> {
    let count = format!("SELECT count(*) FROM run_log_chunks WHERE {BYTES} <= length(body)");
    let statement = Statement::from_string(database.get_database_backend(), count);
    let row = database.query_one_raw(statement).await?;
    Ok(row.context("a row")?.try_get_by_index(0)?)
}
