//! A year of documents, day by day, in three time zones: each becomes effective on its day and not before, and so
//! does it become obsolete.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use watchbell::domain::document::day_begins;
use watchbell_client::{client::Client, pb};

use crate::support::office::{Step, approve, approved, does, next_version};
use crate::support::{Database, Server, Site, on_both, stamp, until};

on_both!(a_year_in_singapore, a_year_in_new_york, a_year_in_lord_howe);

async fn a_year_in_singapore(database: Database) {
    year("Asia/Singapore", database).await;
}

async fn a_year_in_new_york(database: Database) {
    year("America/New_York", database).await;
}

/// Half an hour of daylight saving, at two in the morning.
async fn a_year_in_lord_howe(database: Database) {
    year("Australia/Lord_Howe", database).await;
}

/// A document and what is planned for it.
struct Plan {
    number: String,
    effective: Date,
    /// When its next version is, and when that one goes.
    next: Option<Date>,
    obsolete: Option<Date>,
}

async fn year(zone: &str, database: Database) {
    let site = Site::configured(database, &format!("time_zone = \"{zone}\"\n"));
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    let zone = TimeZone::get(zone).unwrap();
    let first = zone.to_datetime(server.now()).date() + 1.day();
    let last = first + 1.year();
    // One for about each third week, and one for each night on which the clocks are set.
    let mut days: Vec<Date> = (0..18_i32).map(|turn| first + (turn * 20).days()).collect();
    days.extend(changes(&zone, first, last));
    let mut plans = Vec::new();
    for (index, day) in days.iter().enumerate() {
        let number = format!("SOP-{index:03}");
        approved(client, &number, &day.to_string()).await;
        let plan = Plan {
            number,
            effective: *day,
            next: (index % 3 == 0).then(|| *day + 20.days()),
            obsolete: (index % 3 == 1).then(|| *day + 33.days()),
        };
        plans.push(plan);
    }

    let planned = plans
        .iter()
        .flat_map(|plan| [Some(plan.effective), plan.next, plan.obsolete]);
    let looks: BTreeSet<Date> = planned.flatten().filter(|day| *day <= last).collect();
    for day in looks {
        // The last moment before the day: nothing of it has happened.
        arrive(
            &server,
            day_begins(&zone, day) - SignedDuration::from_secs(1),
        )
        .await;
        check(client, &plans, day - 1.day()).await;
        // And by its second hour, all of it has.
        arrive(
            &server,
            day_begins(&zone, day) + SignedDuration::from_mins(76),
        )
        .await;
        check(client, &plans, day).await;
        follow_up(client, &plans, day).await;
    }
    let late = server
        .status()
        .await
        .problems
        .into_iter()
        .filter(|problem| problem.r#type.starts_with("document."));
    assert_eq!(late.count(), 0);
    server.stop().await;
}

/// The nights on which the clocks are set.
fn changes(zone: &TimeZone, first: Date, last: Date) -> Vec<Date> {
    let from = day_begins(zone, first);
    let upto = day_begins(zone, last);
    let transitions = zone.following(from);
    transitions
        .take_while(|change| change.timestamp() < upto)
        .map(|change| zone.to_datetime(change.timestamp()).date())
        .collect()
}

/// Moves the clock there, and waits until what was due on the way is done.
async fn arrive(server: &Server, to: Timestamp) {
    server.advance(to.duration_since(server.now()).as_secs());
    for task in [
        "process-document-effective-dates",
        "process-document-obsoletion-dates",
    ] {
        until(&format!("{task} to be done by {to}"), async || {
            let slots = pb::PreviewScheduleRequest {
                task: format!("tasks/{task}"),
                after_time: server.task(task).await.decided_until_time,
                until_time: Some(stamp(server.now())),
                page_size: 1,
                ..Default::default()
            };
            let tasks = server.client.tasks().preview_schedule(slots).await;
            let runs = pb::ListRunsRequest {
                task: format!("tasks/{task}"),
                page_size: 1,
                ..Default::default()
            };
            let runs = server.client.runs().list_runs(runs).await;
            let runs = runs.unwrap().into_inner().runs;
            let decided = tasks.unwrap().into_inner().fires.is_empty();
            (decided && runs.iter().all(|run| run.finish_time.is_some())).then_some(())
        })
        .await;
    }
}

/// What is done by people once a document is in force.
async fn follow_up(client: &Client, plans: &[Plan], today: Date) {
    for plan in plans {
        let newest = crate::support::office::document(client, &plan.number).await;
        if newest.status() != pb::DocumentStatus::Effective || newest.version_minor != 0 {
            continue;
        }
        let key = format!("{}@1.0", plan.number);
        if let Some(next) = plan.next {
            next_version(client, &key, false).await;
            approve(
                client,
                &format!("{}@1.1", plan.number),
                &next.max(today).to_string(),
            )
            .await;
        }
        if let Some(obsolete) = plan.obsolete.filter(|day| today < *day) {
            let plan = Step::ScheduleObsolescence(obsolete.to_string(), "planned".to_owned());
            does(client, &key, "pat", plan).await.unwrap();
        }
    }
}

/// Every document stands where it should on that day, and says the day for which it was approved.
async fn check(client: &Client, plans: &[Plan], today: Date) {
    let request = pb::ListDocumentsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let listed = client
        .documents()
        .list_documents(request)
        .await
        .unwrap()
        .into_inner();
    for document in &listed.documents {
        let plan = plans
            .iter()
            .find(|plan| plan.number == document.number)
            .unwrap();
        let day: Date = document.effective_date.parse().unwrap();
        let about = format!("{} on {today}", document.name);
        if document.version_minor == 0 {
            assert_eq!(
                day, plan.effective,
                "{about}: what was approved is never overwritten"
            );
        }
        let is_pending = document.status() == pb::DocumentStatus::ApprovedPendingEffective;
        assert_eq!(is_pending, today < day, "{about}: {document:?}");
        let goes: Option<Date> = document.obsolescence_date.parse().ok();
        if let Some(goes) = goes {
            let is_obsolete = document.status() == pb::DocumentStatus::Obsolete;
            assert_eq!(is_obsolete, goes <= today, "{about}: {document:?}");
        }
    }
    let superseded = |document: &&pb::Document| document.status() == pb::DocumentStatus::Superseded;
    for old in listed.documents.iter().filter(superseded) {
        let newer = listed
            .documents
            .iter()
            .find(|newer| newer.supersedes == old.name);
        assert!(
            newer.is_some_and(|newer| newer.status() == pb::DocumentStatus::Effective),
            "{old:?}"
        );
    }
}
