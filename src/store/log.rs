//! Logs of runs. Lines are kept in chunks (`domain/log.rs`), keyed by (run, attempt, first line) and compressed; the lines that
//! earlier versions kept one by one are read beside them, and written no more.

use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, FromQueryResult, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Statement,
};

use super::{
    Store, Tx, convert,
    entity::run_log,
    rows::{Column, Type, column},
    sql::Sql,
};
use crate::{
    domain::{
        RunId,
        log::{LogChunk, LogLine, Stream},
    },
    error::{Error, Result},
};

/// Chunks read at once: a page of lines decodes no megabytes.
const CHUNKS: i64 = 32;
/// Shorter bodies are kept as they are.
const COMPRESSED_FROM: usize = 200;
/// What a body comes to at the most, once it is decompressed: one of a longer one is damaged.
const BODY_MAX: usize = 128 << 10;
/// How a body is kept: its first byte.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

const COLUMNS: &[Column] = &[
    column("run_id", Type::Uuid),
    column("attempt", Type::Big),
    column("line", Type::Big),
    column("lines", Type::Big),
    column("body", Type::Bytes),
];

#[derive(FromQueryResult)]
struct Row {
    attempt: i64,
    line: i64,
    lines: i64,
    body: Vec<u8>,
}

impl Store {
    /// Lines of a run after (attempt, line), in order.
    pub async fn log_after(
        &self,
        run: RunId,
        after: (i64, i64),
        limit: usize,
    ) -> Result<Vec<LogLine>> {
        let mut lines = self.single_lines(run, after, limit).await?;
        lines.extend(self.chunked_lines(run, after, limit).await?);
        // Of one attempt there are lines of one kind only, but for those that two have written at once.
        lines.sort_by_key(|line| (line.attempt, line.line));
        lines.dedup_by_key(|line| (line.attempt, line.line));
        lines.truncate(limit);
        Ok(lines)
    }

    async fn chunked_lines(
        &self,
        run: RunId,
        mut after: (i64, i64),
        limit: usize,
    ) -> Result<Vec<LogLine>> {
        let mut lines: Vec<LogLine> = Vec::new();
        loop {
            let select = chunks_from(self.sql(""), run, after);
            let rows: Vec<Row> = self.all(select).await?;
            let is_all = rows.len() < usize::try_from(CHUNKS).unwrap_or(0);
            let before = after;
            for row in rows {
                let body = plain(&row.body)?;
                let chunk = LogChunk::from((run, row.attempt, row.line, row.lines, body));
                let from = match row.attempt == after.0 {
                    true => after.1,
                    false => 0,
                };
                lines.extend(chunk.read_after(from).map_err(Error::internal)?);
                after = after.max((row.attempt, chunk.after() - 1));
            }
            if is_all || limit <= lines.len() || after == before {
                return Ok(lines);
            }
        }
    }

    /// Lines as earlier versions have written them.
    async fn single_lines(
        &self,
        run: RunId,
        (attempt, line): (i64, i64),
        limit: usize,
    ) -> Result<Vec<LogLine>> {
        let later_line = Condition::all()
            .add(run_log::Column::Attempt.eq(attempt))
            .add(run_log::Column::Line.gt(line));
        let rows = run_log::Entity::find()
            .filter(run_log::Column::RunId.eq(run.0))
            .filter(
                Condition::any()
                    .add(run_log::Column::Attempt.gt(attempt))
                    .add(later_line),
            )
            .order_by_asc(run_log::Column::Attempt)
            .order_by_asc(run_log::Column::Line)
            .limit(u64::try_from(limit).unwrap_or(u64::MAX))
            .all(&self.inner.read)
            .await?;
        let read = |row: run_log::Model| {
            Ok(LogLine {
                attempt: row.attempt,
                line: row.line,
                at: convert::instant(row.at)?,
                stream: Stream::named(&row.stream),
                text: row.text,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// Writes chunks. One that is there already with as many lines stays: a flush whose end was not heard is repeated, and
    /// the last chunk of a log is written anew as it takes more.
    pub async fn log_insert(&mut self, chunks: &[LogChunk]) -> Result<()> {
        // Two that write the same chunks at once wait for each other at most once: both go in this order.
        let mut in_order: Vec<&LogChunk> = chunks.iter().collect();
        in_order.sort_by_key(|chunk| (chunk.run, chunk.attempt, chunk.line));
        let mut rows = Vec::with_capacity(in_order.len());
        for chunk in in_order {
            rows.push(vec![
                chunk.run.0.into(),
                chunk.attempt.into(),
                chunk.line.into(),
                chunk.lines.into(),
                kept(&chunk.body)?.into(),
            ]);
        }
        let tail = " ON CONFLICT (run_id, attempt, line) DO UPDATE SET lines = excluded.lines, body = excluded.body \
                    WHERE run_log_chunks.lines < excluded.lines";
        self.insert("run_log_chunks", COLUMNS, &[], rows, tail)
            .await
    }
}

/// The chunks that hold the line after this one and those that follow it.
fn chunks_from(sql: Sql, run: RunId, (attempt, line): (i64, i64)) -> Statement {
    sql.push("SELECT attempt, line, lines, body FROM run_log_chunks WHERE run_id = ")
        .bind(run.0)
        // The next line may stand in the midst of the chunk that begins before it.
        .push(" AND (attempt, line) >= (")
        .bind(attempt)
        .push(", coalesce((SELECT max(line) FROM run_log_chunks WHERE run_id = ")
        .bind(run.0)
        .push(" AND attempt = ")
        .bind(attempt)
        .push(" AND line <= ")
        .bind(line)
        .push("), 0)) ORDER BY attempt, line LIMIT ")
        .bind(CHUNKS)
        .done()
}

/// A body as it is kept.
fn kept(body: &[u8]) -> Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(body.len() + 1);
    if COMPRESSED_FROM <= body.len() {
        let small = zstd::bulk::compress(body, 1).map_err(Error::internal)?;
        if small.len() < body.len() {
            kept.push(ZSTD);
            kept.extend_from_slice(&small);
            return Ok(kept);
        }
    }
    kept.push(PLAIN);
    kept.extend_from_slice(body);
    Ok(kept)
}

fn plain(kept: &[u8]) -> Result<Vec<u8>> {
    match kept {
        [PLAIN, body @ ..] => Ok(body.to_vec()),
        [ZSTD, small @ ..] => zstd::bulk::decompress(small, BODY_MAX).map_err(Error::internal),
        _ => Err(Error::internal(
            "a chunk of a run's log is of a newer version",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_finds_the_next_lines_by_ranges_of_the_key() {
        let (_dir, store) = empty_store().await;
        let run = RunId(uuid::Uuid::nil());
        let steps = plan(&store, chunks_from(store.sql(""), run, (1, 1))).await;
        for range in [
            "(run_id=? AND (attempt,line)>(?,?))",
            "(run_id=? AND attempt=? AND line<?)",
        ] {
            assert!(steps.iter().any(|step| step.contains(range)), "{steps:?}");
        }
        assert!(
            steps.iter().all(|step| !step.contains("B-TREE")),
            "{steps:?}"
        );
    }

    #[test]
    fn a_body_is_read_as_it_was_kept() {
        let random: Vec<u8> = (0..5000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        for body in [Vec::new(), b"short".to_vec(), vec![b'x'; BODY_MAX], random] {
            assert_eq!(plain(&kept(&body).unwrap()).unwrap(), body);
        }
        assert!(kept(&vec![b'x'; 8000]).unwrap().len() < 100);
        assert!(plain(&[ZSTD, 1, 2, 3]).is_err());
        assert!(plain(&[9]).is_err() && plain(&[]).is_err());
    }
}
