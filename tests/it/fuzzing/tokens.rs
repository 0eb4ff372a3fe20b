//! Tokens that were made up or damaged: a server refuses them by name, or takes them for what they say.

use jiff::Timestamp;
use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::TestRunner,
};
use tonic::{Code, Status};
use watchbell_client::pb;

use super::mutate::{corpus, decoded, encoded, mutated};
use crate::support::{
    Database, Server, Site, TaskExt as _, instant, noon, office, on_both, refused, stamp,
    violations, within,
};

/// Made-up tokens for each list and each watch.
const MADE_UP: usize = 60;
/// Of a page token, before the key: a version, and the list with its filter.
const SCOPE: usize = 13;
/// Of a page token, at the key's end: what the list is of.
const DIGEST: usize = 12;

on_both!(
    a_page_token_is_refused_by_name_or_is_one,
    a_resume_token_is_refused_by_name_or_is_one,
    the_end_of_time_and_a_nul_are_no_traps,
);

async fn a_page_token_is_refused_by_name_or_is_one(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    // Another replica, where there can be one, so that their list has a second page.
    let other = match site.database.is_postgresql() {
        true => Some(site.start().await),
        false => None,
    };
    prepare(&server).await;
    let lists = [
        "tasks",
        "runs",
        "slots",
        "preview",
        "agenda",
        "replicas",
        "documents",
        "documents-by-day",
        "history",
        "policies",
        "sources",
    ];
    for list in lists {
        let genuine = match page(&server, list, "").await {
            Ok(token) if !token.is_empty() => token,
            Ok(_) => {
                assert_eq!(
                    (list, other.is_some()),
                    ("replicas", false),
                    "no second page"
                );
                continue;
            }
            Err(status) => panic!("{list}: {status:?}"),
        };
        page(&server, list, &genuine).await.unwrap();
        let scope = &decoded(&genuine)[..SCOPE];
        let mut keys = made_up("page_token", &["9", " ", ":", "-", "Z", "+", "#", "\0"]);
        keys.extend(["#", "1#", "task-1#x"].map(|key| key.as_bytes().to_vec()));
        for key in keys {
            let token = encoded(&[scope, &key].concat());
            let what = format!("{list} after {:?}", key.escape_ascii().to_string());
            let answer = page(&server, list, &token).await;
            // It may say what task it is of, and not say this one.
            if list == "slots" && names_a_task(&key) && answer.is_err() {
                let (code, reason, status) = refused(answer);
                let is_told = (code, reason.as_str()) == (Code::FailedPrecondition, "REPLACED");
                assert!(
                    is_told || violations(&status) == ["page_token"],
                    "{what}: {status:?}"
                );
                continue;
            }
            check(&what, "page_token", answer);
        }
        // Another spelling of a token is none.
        for token in [
            genuine.to_ascii_uppercase(),
            format!("{genuine}2"),
            genuine.replacen("31", "+1", 1),
        ] {
            if token != genuine {
                let (code, _, status) = refused(page(&server, list, &token).await);
                assert_eq!(
                    (code, violations(&status)),
                    (Code::InvalidArgument, vec!["page_token".to_owned()]),
                    "{list}: {token}"
                );
            }
        }
        page(&server, list, &genuine).await.unwrap();
    }
    if let Some(other) = other {
        other.stop().await;
    }
    server.stop().await;
}

async fn a_resume_token_is_refused_by_name_or_is_one(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    prepare(&server).await;
    let run = server.runs_of("task-0").await.remove(0).name;
    for (watch, parts) in [("runs", 4), ("documents", 4), ("log", 1)] {
        let genuine = first(&server, watch, &run, "").await.unwrap();
        first(&server, watch, &run, &genuine).await.unwrap();
        let own: Vec<&str> = genuine.split('.').take(parts).collect();
        let own = own.join(".");
        for place in made_up("resume_token", &["9", ".", "-", "+", "s", "\0"]) {
            // A string of protobuf is UTF-8, so nothing else gets this far.
            let place = String::from_utf8_lossy(&place);
            let token = format!("{own}.{place}");
            let answer = first(&server, watch, &run, &token).await;
            if answer.is_ok() {
                let spelt_alike = place.split('.').all(|number| {
                    number == "s" || number.parse::<i64>().is_ok_and(|n| n.to_string() == number)
                });
                assert!(spelt_alike, "{watch} takes {token:?}");
            }
            check(&format!("{watch} after {place:?}"), "resume_token", answer);
        }
        first(&server, watch, &run, &genuine).await.unwrap();
    }
    server.stop().await;
}

async fn the_end_of_time_and_a_nul_are_no_traps(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let agenda = async |after: Timestamp, until: Option<Timestamp>| {
        let request = pb::GetAgendaRequest {
            after_time: Some(stamp(after)),
            until_time: until.map(stamp),
            ..Default::default()
        };
        server.client.scheduler().get_agenda(request).await
    };
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (first, last) = (at("0001-01-01T00:00:00Z"), at("9998-12-31T23:59:59Z"));
    // What is reckoned from the last one stays within what an instant can hold.
    let shown = agenda(last, None).await.unwrap().into_inner();
    let due = |entry: &pb::AgendaEntry| entry.fire.as_ref().unwrap().due_time.unwrap().seconds;
    assert!(
        shown
            .entries
            .iter()
            .all(|entry| last.as_second() <= due(entry))
    );
    for beyond in [Timestamp::MIN, Timestamp::MAX] {
        let (code, _, status) = refused(agenda(beyond, None).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec!["after_time".to_owned()])
        );
    }
    for (after, until) in [(first, last), (last, first)] {
        let (code, _, status) = refused(agenda(after, Some(until)).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec!["until_time".to_owned()])
        );
    }
    let request = pb::ListTasksRequest {
        kind: "a\0b".to_owned(),
        ..Default::default()
    };
    let (code, _, status) = refused(server.client.tasks().list_tasks(request).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["kind".to_owned()])
    );
    server.stop().await;
}

/// Tasks, slots and runs, more than one of each.
async fn prepare(server: &Server) {
    for number in 0..3 {
        server
            .create(&format!("task-{number}"), instant().cron("0 * * * *"))
            .await;
    }
    for _ in 0..2 {
        server.advance(3_600);
        server.decided("task-0", server.now()).await;
    }
    let run = server.trigger("task-0").await;
    server.ended(&run.name).await;
    for number in ["SOP-1", "SOP-2"] {
        office::approved(&server.client, number, "2026-03-02").await;
    }
}

/// One page of a list with a page token; gives the next one's.
async fn page(server: &Server, list: &str, page_token: &str) -> Result<String, Status> {
    let (mut tasks, mut runs, mut scheduler) = (
        server.client.tasks(),
        server.client.runs(),
        server.client.scheduler(),
    );
    let mut documents = server.client.documents();
    let (page_size, page_token, task) = (1, page_token.to_owned(), "tasks/task-0".to_owned());
    Ok(match list {
        "tasks" => {
            let request = pb::ListTasksRequest {
                page_size,
                page_token,
                ..Default::default()
            };
            tasks
                .list_tasks(request)
                .await?
                .into_inner()
                .next_page_token
        }
        "runs" => {
            let request = pb::ListRunsRequest {
                page_size,
                page_token,
                ..Default::default()
            };
            runs.list_runs(request).await?.into_inner().next_page_token
        }
        "slots" => {
            let request = pb::ListSlotsRequest {
                page_size,
                page_token,
                task,
                ..Default::default()
            };
            tasks
                .list_slots(request)
                .await?
                .into_inner()
                .next_page_token
        }
        "preview" => {
            let request = pb::PreviewScheduleRequest {
                page_size,
                page_token,
                task,
                ..Default::default()
            };
            tasks
                .preview_schedule(request)
                .await?
                .into_inner()
                .next_page_token
        }
        "agenda" => {
            let request = pb::GetAgendaRequest {
                page_size,
                page_token,
                after_time: Some(stamp(noon())),
                ..Default::default()
            };
            scheduler
                .get_agenda(request)
                .await?
                .into_inner()
                .next_page_token
        }
        "documents" | "documents-by-day" => {
            let by_day = list == "documents-by-day";
            let since = if by_day { "2026-03-01" } else { "" };
            let request = pb::ListDocumentsRequest {
                page_size,
                page_token,
                effective_since: since.to_owned(),
                ..Default::default()
            };
            documents
                .list_documents(request)
                .await?
                .into_inner()
                .next_page_token
        }
        "history" => {
            let request = pb::ListDocumentHistoryRequest {
                name: "documents/SOP-1@1.0".to_owned(),
                page_size,
                page_token,
            };
            documents
                .list_document_history(request)
                .await?
                .into_inner()
                .next_page_token
        }
        "policies" => {
            let request = pb::ListBackupPoliciesRequest {
                page_size,
                page_token,
            };
            let mut backups = server.client.backups();
            let answer = backups.list_backup_policies(request).await?;
            answer.into_inner().next_page_token
        }
        "sources" => {
            let request = pb::ListBackupSourcesRequest {
                page_size,
                page_token,
            };
            let mut backups = server.client.backups();
            let answer = backups.list_backup_sources(request).await?;
            answer.into_inner().next_page_token
        }
        _ => {
            let request = pb::ListReplicasRequest {
                page_size,
                page_token,
            };
            scheduler
                .list_replicas(request)
                .await?
                .into_inner()
                .next_page_token
        }
    })
}

/// The token of a watch's first message after a resume token; empty where none comes soon.
async fn first(
    server: &Server,
    watch: &str,
    run: &str,
    resume_token: &str,
) -> Result<String, Status> {
    let mut runs = server.client.runs();
    let resume_token = resume_token.to_owned();
    if watch == "log" {
        let request = pb::TailRunLogRequest {
            name: run.to_owned(),
            resume_token,
            follow: false,
        };
        let mut log = runs.tail_run_log(request).await?.into_inner();
        let message = within("a message of the log", log.message()).await?;
        return Ok(message.unwrap().resume_token);
    }
    let resumes = !resume_token.is_empty();
    if watch == "documents" {
        let request = pb::WatchDocumentsRequest {
            resume_token,
            ..Default::default()
        };
        let mut documents = server.client.documents();
        let mut watch = documents.watch_documents(request).await?.into_inner();
        if resumes {
            return Ok(String::new());
        }
        let message = within("the snapshot's end", watch.message()).await?;
        return Ok(message.unwrap().resume_token);
    }
    let request = pb::WatchRunsRequest {
        resume_token,
        ..Default::default()
    };
    let mut watch = runs.watch_runs(request).await?.into_inner();
    if resumes {
        return Ok(String::new());
    }
    // The snapshot is empty: its end tells where the log ends.
    let message = within("the snapshot's end", watch.message()).await?;
    Ok(message.unwrap().resume_token)
}

/// Whether a key of a page token says at its end what the list is of: a `#`, and a digest.
fn names_a_task(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digest = key.rsplit(|byte| *byte == b'#').next();
    key.contains(&b'#')
        && digest.is_some_and(|digest| digest.len() == DIGEST && digest.iter().all(is_digit))
}

#[track_caller]
fn check(what: &str, field: &str, answer: Result<String, Status>) {
    let Err(status) = answer else { return };
    match status.code() {
        Code::InvalidArgument => assert_eq!(violations(&status), [field], "{what}: {status:?}"),
        Code::OutOfRange => {}
        _ => panic!("{what}: {status:?}"),
    }
}

/// All of the corpus, and mutations of it.
fn made_up(name: &str, words: &'static [&'static str]) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::default();
    let strategy = mutated(name, words);
    let mutations = (0..MADE_UP).map(|_| strategy.new_tree(&mut runner).unwrap().current());
    corpus(name).into_iter().chain(mutations).collect()
}
