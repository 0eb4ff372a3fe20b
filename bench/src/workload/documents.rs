//! Documents: ten thousand that become effective in one run, and lists over a million.

use std::time::Instant;

use anyhow::{Context as _, bail};
use jiff::ToSpan as _;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use watchbell_client::pb;

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

const TASK: &str = "process-document-effective-dates";

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let site = Site::new(&scene.program, kind, &noop_tasks("documents", 1, MANUAL)).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    let database = site.database.connect(&site.data()).await?;
    activate(scene, kind, report, &client, &database).await?;
    lists(scene, kind, report, &client, &database).await?;
    database.close().await?;
    server.stop().await?;
    site.audit()?;
    site.remove().await
}

/// A task that is there, and never due; and those of documents run when they are told to.
const MANUAL: &str = "schedule = { cron = \"0 0 1 1 *\" }\n\
    [tasks.process-document-effective-dates]\nschedule = { cron = \"0 0 1 1 *\" }\n\
    [tasks.process-document-obsoletion-dates]\nschedule = { cron = \"0 0 1 1 *\" }\n";

/// Each of them takes the place of a version that is in force: twice as many documents move.
async fn activate(
    scene: &Scene,
    kind: Kind,
    report: &mut Report,
    client: &Client,
    database: &DatabaseConnection,
) -> anyhow::Result<()> {
    let count = scene.size(10_000, 1_000);
    let (mut took, mut alone) = (Vec::new(), Vec::new());
    for repeat in 0..scene.repeats(5) {
        let today = jiff::Zoned::now().date();
        for (superseding, seconds) in [(true, &mut took), (false, &mut alone)] {
            let group = repeat * 2 + usize::from(superseding);
            let due = Fill {
                group,
                count,
                minor: usize::from(superseding),
                status: "'approved_pending_effective'".to_owned(),
                day: format!("'{today}'"),
            };
            fill(database, kind, &due).await?;
            if superseding {
                let old = Fill {
                    minor: 0,
                    status: "'effective'".to_owned(),
                    ..due.clone()
                };
                fill(database, kind, &old).await?;
            }
            settle(database, kind).await?;
            let run = client.trigger(TASK).await?;
            let worked = pb::RunOutcome::Worked;
            let run = client.ended_with(&run.name, worked).await?;
            let counted = run.counters.get("documents_activated").copied();
            let superseded = run.counters.get("documents_superseded").copied();
            let expected = if superseding { count } else { 0 };
            if counted != Some(count as i64) || superseded != Some(expected as i64) {
                bail!(
                    "{count} documents should have become effective: {}",
                    run.message
                );
            }
            let at = |stamp: Option<prost_types::Timestamp>| {
                stamp.map(|at| at.seconds as f64 + f64::from(at.nanos) / 1e9)
            };
            let began = at(run.due_time).context("a time")?;
            let ended = at(run.finish_time).context("a time")?;
            seconds.push(ended - began);
        }
    }
    let name = format!("documents, {count} due");
    let metric = ("from the trigger to the end of the run", "s");
    report.add(&name, kind, metric, &alone, Goal::AtMost(5.0));
    let metric = ("the same, each superseding a version in force", "s");
    report.add(&name, kind, metric, &took, Goal::AtMost(5.0));
    Ok(())
}

async fn lists(
    scene: &Scene,
    kind: Kind,
    report: &mut Report,
    client: &Client,
    database: &DatabaseConnection,
) -> anyhow::Result<()> {
    let count = scene.size(1_000_000, 20_000);
    let pages = scene.size(400, 40);
    let many = Fill {
        group: 1_000,
        count,
        minor: 0,
        status: "CASE WHEN n.n % 100 = 0 THEN 'draft' WHEN n.n % 7 = 0 THEN 'obsolete' ELSE 'effective' END"
            .to_owned(),
        day: format!("({})", day_of(kind, "n.n % 9000")),
    };
    fill(database, kind, &many).await?;
    settle(database, kind).await?;
    let name = format!("documents, {count}");
    for (what, there, request) in walks() {
        let mut p99s = Vec::new();
        for _ in 0..scene.repeats(3) {
            let walked = walk(client, &request, pages, there).await;
            p99s.push(figures::percentile(&walked.context(what)?, 99.0));
        }
        let metric = format!("ListDocuments, {what}, pages of 50, p99");
        report.add(&name, kind, (&metric, "ms"), &p99s, Goal::AtMost(10.0));
    }
    let mut took = Vec::new();
    for _ in 0..pages {
        let began = Instant::now();
        client
            .scheduler()
            .get_status(pb::GetStatusRequest {})
            .await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let metric = ("GetStatus beside them, p99", "ms");
    report.add(
        &name,
        kind,
        metric,
        &[figures::percentile(&took, 99.0)],
        Goal::None,
    );
    Ok(())
}

/// What is asked for, and whether there is any of it.
fn walks() -> Vec<(&'static str, There, pb::ListDocumentsRequest)> {
    use pb::DocumentStatus::{Draft, Effective, Obsolete, UnderReview};
    let all = pb::ListDocumentsRequest {
        page_size: 50,
        ..Default::default()
    };
    let with = |change: &dyn Fn(&mut pb::ListDocumentsRequest)| {
        let mut request = all.clone();
        change(&mut request);
        request
    };
    let in_statuses = |statuses: &[pb::DocumentStatus]| {
        let statuses = statuses.iter().map(|status| (*status).into());
        let statuses: Vec<i32> = statuses.collect();
        with(&|list| list.statuses.clone_from(&statuses))
    };
    let of_type = |document_type: &str| with(&|list| list.document_type = document_type.into());
    let within_a_year = with(&|list| {
        list.effective_since = "2019-01-01".into();
        list.effective_before = "2020-01-01".into();
    });
    let numbered = with(&|list| list.number = "B01000-0000*".into());
    let obsolete_by_then = with(&|list| list.obsolescence_before = "2030-01-01".into());
    let draft_of_type = pb::ListDocumentsRequest {
        document_type: "SOP".into(),
        ..in_statuses(&[Draft])
    };
    let of_no_type = pb::ListDocumentsRequest {
        document_type: "None".into(),
        ..within_a_year.clone()
    };
    let by = |author: &str| with(&|list| list.author = author.into());
    let draft_by = pb::ListDocumentsRequest {
        author: "cid".into(),
        ..in_statuses(&[Draft])
    };
    let reviewed_by = with(&|list| list.reviewer = "REX".into());
    let is = |what, request| (what, There::Is, request);
    let none = |what, request| (what, There::IsNone, request);
    vec![
        is("all", all.clone()),
        is("effective", in_statuses(&[Effective])),
        none("none in this status", in_statuses(&[UnderReview])),
        is("draft or obsolete", in_statuses(&[Draft, Obsolete])),
        is("by the beginning of a number", numbered),
        is("of a type", of_type("SOP")),
        is("of a type, draft", draft_of_type),
        is("effective within a year", within_a_year),
        none(
            "effective within a year, of a type that is not there",
            of_no_type,
        ),
        none("none obsolete by then", obsolete_by_then),
        is("by who wrote nearly all", by("Ann")),
        is("by who wrote one in a thousand", by("cid")),
        is("by the same, draft", draft_by),
        none("by somebody who wrote none", by("dora")),
        is("reviewed by who reviewed all", reviewed_by),
    ]
}

/// Milliseconds of each page of a walk.
async fn walk(
    client: &Client,
    request: &pb::ListDocumentsRequest,
    pages: usize,
    there: There,
) -> anyhow::Result<Vec<f64>> {
    let page = async |page_token: String| {
        let request = pb::ListDocumentsRequest {
            page_token,
            ..request.clone()
        };
        let page = client.documents().list_documents(request).await?;
        let page = page.into_inner();
        anyhow::Ok((page.documents.len(), page.next_page_token))
    };
    pages::walk(pages, there, page).await
}

/// Documents to be made, `B{group}-{n}`.
#[derive(Clone, Debug)]
struct Fill {
    group: usize,
    count: usize,
    minor: usize,
    /// In SQL, as the day.
    status: String,
    day: String,
}

/// A day in the past, so many days before one.
fn day_of(kind: Kind, days: &str) -> String {
    let newest = jiff::civil::date(2026, 1, 1) - 1.day();
    match kind {
        Kind::Sqlite => format!("date('{newest}', '-' || ({days}) || ' days')"),
        Kind::Postgresql => format!("to_char(date '{newest}' - ({days})::int, 'YYYY-MM-DD')"),
    }
}

async fn fill(database: &DatabaseConnection, kind: Kind, fill: &Fill) -> anyhow::Result<()> {
    let Fill {
        group,
        count,
        minor,
        status,
        day,
    } = fill;
    let prefix = format!("{:08x}", group * 2 + minor);
    let (id, number, numbers) = match kind {
        Kind::Sqlite => (
            format!("unhex(printf('%024x', n.n * 7919) || '{prefix}')"),
            format!("printf('B{group:05}-%07d', n.n)"),
            format!(
                "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c)"
            ),
        ),
        Kind::Postgresql => (
            format!("(lpad(to_hex((n.n * 7919)::bigint), 24, '0') || '{prefix}')::uuid"),
            format!("'B{group:05}-' || lpad(n.n::text, 7, '0')"),
            format!("(SELECT generate_series(1::bigint, {count}) AS n)"),
        ),
    };
    let supersedes = match minor {
        0 => "NULL".to_owned(),
        _ => format!("{number} || '@1.0'"),
    };
    let insert = format!(
        "INSERT INTO documents (id, number, major, minor, title, document_type, status, author, reviewer, approver, \
         effective_date, supersedes, depends_on, created_at, updated_at, status_at, revision) \
         SELECT {id}, {number}, 1, {minor}, 'A document about something', \
         CASE WHEN n.n % 3 = 0 THEN 'SOP' ELSE 'Policy' END, {status}, \
         CASE WHEN n.n % 1000 = 0 THEN 'cid' ELSE 'ann' END, 'rex', 'pat', {day}, {supersedes}, \
         '[]', 0, 0, 0, 1 FROM {numbers} n"
    );
    let made = database::insert(database, &insert, *count).await;
    made.context("could not make documents")
}

async fn settle(database: &DatabaseConnection, kind: Kind) -> anyhow::Result<()> {
    if kind == Kind::Postgresql {
        database
            .execute_unprepared("VACUUM ANALYZE documents")
            .await?;
    }
    Ok(())
}
