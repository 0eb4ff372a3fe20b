//! Pages of ListSlots over a ledger of millions of rows, whatever became of the slots.

use anyhow::Context as _;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use watchbell_client::pb::{self, SlotOutcome};

use super::{
    Scene, noop_tasks,
    pages::{self, There},
};
use crate::{
    calls::Client,
    database::{self, Kind},
    figures,
    report::{Goal, Report},
    server::Site,
};

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let rows = scene.size(3_000_000, 60_000);
    let pages = scene.size(200, 20);
    let fields = "schedule = { cron = \"0 0 1 1 *\" }";
    let site = Site::new(&scene.program, kind, &noop_tasks("ledger", 1, fields)).await?;
    let server = site.start().await?;
    server.stop().await?;
    let database = site.database.connect(&site.data()).await?;
    fill(&database, kind, rows)
        .await
        .context("could not make a ledger")?;
    database.close().await?;

    let server = site.start().await?;
    let client = server.connect().await?;
    let name = format!("ledger, {rows} rows of a task");
    for (what, there, outcomes) in walks() {
        let request = pb::ListSlotsRequest {
            task: "tasks/ledger-00000".to_owned(),
            page_size: 50,
            outcomes: outcomes.iter().map(|outcome| (*outcome).into()).collect(),
            ..Default::default()
        };
        let mut p99s = Vec::new();
        for _ in 0..scene.repeats(3) {
            let walked = walk(&client, &request, pages, there).await;
            p99s.push(figures::percentile(&walked.context(what)?, 99.0));
        }
        let metric = format!("ListSlots, {what}, pages of 50, p99");
        report.add(&name, kind, (&metric, "ms"), &p99s, Goal::AtMost(20.0));
    }
    server.stop().await?;
    site.remove().await
}

fn walks() -> Vec<(&'static str, There, Vec<SlotOutcome>)> {
    use SlotOutcome::{Dispatched, SkippedEnded, SkippedOverlap, SkippedPaused};
    vec![
        ("all", There::Is, vec![]),
        ("that led to runs", There::Is, vec![Dispatched]),
        ("a thousandth", There::Is, vec![SkippedOverlap]),
        ("a few", There::Is, vec![SkippedPaused]),
        ("none of this outcome", There::IsNone, vec![SkippedEnded]),
        (
            "of several outcomes",
            There::Is,
            vec![SkippedOverlap, SkippedPaused, SkippedEnded],
        ),
        (
            "runs or a few others",
            There::Is,
            vec![Dispatched, SkippedPaused],
        ),
    ]
}

/// Milliseconds of each page of a walk from the newest on.
async fn walk(
    client: &Client,
    request: &pb::ListSlotsRequest,
    pages: usize,
    there: There,
) -> anyhow::Result<Vec<f64>> {
    let page = async |page_token: String| {
        let request = pb::ListSlotsRequest {
            page_token,
            ..request.clone()
        };
        let page = client.tasks().list_slots(request).await?.into_inner();
        anyhow::Ok((page.slots.len(), page.next_page_token))
    };
    pages::walk(pages, there, page).await
}

/// A row each second from 1970 on; one of a thousand was skipped for overlap, a few for a pause.
async fn fill(database: &DatabaseConnection, kind: Kind, rows: usize) -> anyhow::Result<()> {
    let insert = format!(
        "INSERT INTO slots (task_id, after_at, upto_at, outcome, reason, count, first_at, last_at, revision, tzdb, \
         decided_at) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) \
         SELECT t.id, (n - 1) * CAST(1000000 AS BIGINT), n * CAST(1000000 AS BIGINT), \
         CASE WHEN n % 1000 = 0 THEN 'skipped_overlap' WHEN n % 10001 = 7 THEN 'skipped_paused' ELSE 'dispatched' END, \
         '', 1, n * CAST(1000000 AS BIGINT), n * CAST(1000000 AS BIGINT), 1, '2026a', n * CAST(1000000 AS BIGINT) \
         FROM c, tasks t WHERE t.name = 'ledger-00000'"
    );
    database::insert(database, &insert, rows).await?;
    if kind == Kind::Postgresql {
        database.execute_unprepared("VACUUM ANALYZE slots").await?;
    }
    Ok(())
}
