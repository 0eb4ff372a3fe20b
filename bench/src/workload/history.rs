//! Pages of ListRuns over a million runs, each found by an index.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use watchbell_client::pb;

use super::{
    Scene, noop_tasks,
    pages::{self, There},
    trigger::once,
};
use crate::{
    calls::{Client, stamp},
    database::{self, Kind},
    figures,
    report::{Goal, Report},
    server::Site,
};

pub(super) const TASKS: usize = 100;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let runs = scene.size(1_000_000, 20_000);
    let pages = scene.size(400, 40);
    let fields = "schedule = { cron = \"0 0 1 1 *\" }";
    let site = Site::new(&scene.program, kind, &noop_tasks("history", TASKS, fields)).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    once(&client, "history-00000").await?;
    server.stop().await?;
    let newest = Timestamp::now();
    let database = site.database.connect(&site.data()).await?;
    fill(&database, kind, runs, newest)
        .await
        .context("could not make history")?;

    let server = site.start().await?;
    let client = server.connect().await?;
    let before = reads(&database, kind).await?;
    let mut asked = 0;
    let name = format!("history, {runs} runs");
    for (what, there, size, goal, request) in walks(newest, runs) {
        let mut p99s = Vec::new();
        for _ in 0..scene.repeats(3) {
            let pages = (size, pages.min(20_000 / size));
            let walked = walk(&client, &request, pages, there).await;
            let walked = walked.context(what)?;
            asked += walked.len();
            p99s.push(figures::percentile(&walked, 99.0));
        }
        let metric = format!("ListRuns, {what}, pages of {size}, p99");
        report.add(&name, kind, (&metric, "ms"), &p99s, goal);
    }
    let mut p99s = Vec::new();
    for _ in 0..scene.repeats(3) {
        let jumped = jumps(&client, newest, runs, pages).await?;
        asked += jumped.len();
        p99s.push(figures::percentile(&jumped, 99.0));
    }
    let metric = "ListRuns, at any instant, pages of 50, p99";
    report.add(&name, kind, (metric, "ms"), &p99s, Goal::AtMost(10.0));
    if kind == Kind::Postgresql {
        let after = reads(&database, kind).await?;
        ensure!(
            before.rows < after.rows,
            "PostgreSQL has counted nothing that was read"
        );
        let scans = after.scans - before.scans;
        report.never(&name, kind, "scans of the table", &[scans]);
        // Of SQLite, a test of the server asks EXPLAIN QUERY PLAN.
        let rows = (after.rows - before.rows) / asked as f64;
        let metric = ("rows read for a page, mean", "rows");
        report.add(&name, kind, metric, &[rows], Goal::AtMost(1_100.0));
    }
    database.close().await?;
    server.stop().await?;
    site.remove().await
}

/// What is asked for, whether there is any of it, by pages of what size, and what it must reach.
type Asked = (&'static str, There, usize, Goal, pb::ListRunsRequest);

/// All that is asked for.
fn walks(newest: Timestamp, runs: usize) -> Vec<Asked> {
    let goal = Goal::AtMost(10.0);
    let all = pb::ListRunsRequest::default();
    let of_task = pb::ListRunsRequest {
        task: "tasks/history-00007".to_owned(),
        ..all.clone()
    };
    let in_state = |state: pb::RunState| pb::ListRunsRequest {
        states: vec![state.into()],
        ..all.clone()
    };
    let half = SignedDuration::from_secs(runs as i64 / 2);
    let old = pb::ListRunsRequest {
        queued_before_time: Some(stamp(newest - half)),
        ..in_state(pb::RunState::Failed)
    };
    let failed_of_task = pb::ListRunsRequest {
        states: vec![pb::RunState::Failed.into()],
        ..of_task.clone()
    };
    let by_backfill = |request: &pb::ListRunsRequest| pb::ListRunsRequest {
        triggers: vec![pb::RunTrigger::Backfill.into()],
        ..request.clone()
    };
    let failed = in_state(pb::RunState::Failed);
    let abandoned = in_state(pb::RunState::Abandoned);
    let is = |what, request| (what, There::Is, 50, goal, request);
    let none = |what, request| (what, There::IsNone, 50, goal, request);
    vec![
        is("all", all.clone()),
        ("all", There::Is, 1_000, Goal::None, all.clone()),
        is("of a task", of_task.clone()),
        is("failed", failed),
        is("failed, of long ago", old),
        none("none in this state", abandoned),
        is("failed, of a task", failed_of_task),
        // No index knows these: a page looks at so many, and goes on with the next.
        none("none by this trigger", by_backfill(&all)),
        none("none by this trigger, of a task", by_backfill(&of_task)),
    ]
}

/// Milliseconds of each page of a walk from the newest on: of such a size, so many.
async fn walk(
    client: &Client,
    request: &pb::ListRunsRequest,
    (size, pages): (usize, usize),
    there: There,
) -> anyhow::Result<Vec<f64>> {
    let page_size = i32::try_from(size)?;
    let page = async |page_token: String| {
        let request = pb::ListRunsRequest {
            page_size,
            page_token,
            ..request.clone()
        };
        let page = client.runs().list_runs(request).await?.into_inner();
        anyhow::Ok((page.runs.len(), page.next_page_token))
    };
    pages::walk(pages, there, page).await
}

/// Milliseconds of pages that begin anywhere.
async fn jumps(
    client: &Client,
    newest: Timestamp,
    runs: usize,
    pages: usize,
) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(pages);
    for jump in 0..pages {
        // Scattered over the whole, and the same in each session.
        let back = (jump * 7_919_993) % runs;
        let before = newest - SignedDuration::from_secs(back as i64);
        let request = pb::ListRunsRequest {
            queued_before_time: Some(stamp(before)),
            ..Default::default()
        };
        let began = Instant::now();
        let page = client.runs().list_runs(request).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(!page.get_ref().runs.is_empty(), "no run before {before}");
    }
    Ok(took)
}

/// Holds of one run in a hundred, and of one in a hundred of each task's: every hundredth is of the same task.
const FAILED: &str = "(n.n + n.n / 100) % 100 = 0";

/// Copies the one run there is: a run each second into the past, of which some have [`FAILED`].
pub(super) async fn fill(
    database: &DatabaseConnection,
    kind: Kind,
    runs: usize,
    newest: Timestamp,
) -> anyhow::Result<()> {
    let newest = newest.as_microsecond();
    let at = format!("({newest} - n.n * 1000000)");
    let hex = |width: usize, value: &str| match kind {
        Kind::Sqlite => format!("printf('%0{width}x', {value})"),
        Kind::Postgresql => format!("lpad(to_hex(({value})::bigint), {width}, '0')"),
    };
    // Like those that the server makes: ordered by time.
    let digits = format!(
        "{} || '7' || {} || '8' || {}",
        hex(12, &format!("{at} / 1000")),
        hex(3, "n.n % 4096"),
        hex(15, "n.n")
    );
    let (id, task, numbers) = match kind {
        Kind::Sqlite => (
            format!("unhex({digits})"),
            format!("printf('history-%05d', n.n % {TASKS})"),
            format!(
                "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {runs}) SELECT n FROM c)"
            ),
        ),
        Kind::Postgresql => (
            format!("({digits})::uuid"),
            format!("'history-' || lpad((n.n % {TASKS})::text, 5, '0')"),
            format!("(SELECT generate_series(1::bigint, {runs}) AS n)"),
        ),
    };
    let insert = format!(
        "INSERT INTO runs (id, task_id, task, kind, trigger_by, state, outcome, reason, message, counters, \
         attempt, attempts_charged, priority, parameters, policy, dry_run, solo, slot_at, nominal_at, due_at, \
         queued_at, started_at, attempt_started_at, finished_at, catch_up, principal, request_reason, revision, \
         version) SELECT {id}, t.id, t.name, r.kind, 'schedule', \
         CASE WHEN {FAILED} THEN 'failed' ELSE 'succeeded' END, \
         CASE WHEN {FAILED} THEN NULL ELSE r.outcome END, r.reason, r.message, r.counters, \
         r.attempt, r.attempts_charged, r.priority, r.parameters, r.policy, r.dry_run, r.solo, {at}, {at}, {at}, \
         {at}, {at}, {at}, {at} + 1000, r.catch_up, r.principal, r.request_reason, r.revision, r.version \
         FROM {numbers} n, (SELECT * FROM runs LIMIT 1) r JOIN tasks t ON t.name = {task}"
    );
    // PostgreSQL joins in another order than commas suggest.
    let insert = match kind {
        Kind::Sqlite => insert,
        Kind::Postgresql => insert.replace(
            &format!(" JOIN tasks t ON t.name = {task}"),
            &format!(", tasks t WHERE t.name = {task}"),
        ),
    };
    database::insert(database, &insert, runs).await?;
    if kind == Kind::Postgresql {
        database.execute_unprepared("VACUUM ANALYZE runs").await?;
    }
    Ok(())
}

/// What PostgreSQL has read of the runs so far.
#[derive(Clone, Copy, Debug, Default)]
struct Reads {
    /// Of the whole table.
    scans: f64,
    /// By whatever way.
    rows: f64,
}

async fn reads(database: &DatabaseConnection, kind: Kind) -> anyhow::Result<Reads> {
    if kind == Kind::Sqlite {
        return Ok(Reads::default());
    }
    // Sessions hand in their counts within a second or so.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let statement = sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        "SELECT seq_scan, seq_tup_read + COALESCE(idx_tup_fetch, 0) AS rows \
         FROM pg_stat_user_tables WHERE relname = 'runs'",
    );
    let row = database.query_one_raw(statement).await?.context("a row")?;
    Ok(Reads {
        scans: row.try_get::<i64>("", "seq_scan")? as f64,
        rows: row.try_get::<i64>("", "rows")? as f64,
    })
}
