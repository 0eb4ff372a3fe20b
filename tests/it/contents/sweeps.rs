//! What is cleared away, and what is not.

use std::fs;

use jiff::SignedDuration;
use tonic::Code;
use watchbell_client::pb;

use super::desk::{
    Sending, bytes, comes, download, draft, files, header, header_for, partial, place, sha256,
    stored, sweep, upload, written_at,
};
use crate::support::{Database, Site, noon, on_both, refused, until};

on_both!(
    the_sweep_keeps_what_is_held_or_young_and_removes_the_rest,
    what_a_document_lets_go_gets_its_grace_anew,
    a_file_that_nobody_noted_is_swept_after_its_grace,
    uploads_that_nobody_went_on_with_are_removed,
    what_is_asked_for_while_it_is_swept_is_stored_or_refused,
    what_a_sweep_had_taken_away_is_put_back_where_a_document_holds_it,
    what_cannot_be_forgotten_stays_and_can_be_asked_for,
);

/// The sweep runs when a story says so.
const BY_HAND: &str = "[tasks.sweep-content]\nschedule = { cron = \"0 0 1 1 *\" }\n";
const DAY: i64 = 24 * 3600;

async fn the_sweep_keeps_what_is_held_or_young_and_removes_the_rest(database: Database) {
    let site = Site::configured(database, BY_HAND);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let [held, unused, young] = [0, 1, 2].map(|seed| bytes(5_000, seed));
    upload(client, header_for("SOP-1@1.0", &held), &held)
        .await
        .unwrap();
    upload(client, header(&unused), &unused).await.unwrap();
    server.advance(6 * DAY);
    let run = sweep(&server, false).await;
    assert_eq!(run.outcome(), pb::RunOutcome::NothingToDo);
    upload(client, header(&young), &young).await.unwrap();
    server.advance(2 * DAY);

    let would = sweep(&server, true).await;
    assert_eq!(would.counters["contents_removed"], 1, "{}", would.message);
    assert_eq!(stored(&site).len(), 3);
    let run = sweep(&server, false).await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked);
    assert_eq!(
        (
            run.counters["contents_removed"],
            run.counters["bytes_freed"]
        ),
        (1, 5_000)
    );
    let mut left = [place(&site, &held), place(&site, &young)];
    left.sort();
    assert_eq!(stored(&site), left);
    assert!(files(&site, "swept").is_empty());
    let again = sweep(&server, false).await;
    assert_eq!(again.outcome(), pb::RunOutcome::NothingToDo);
    download(client, "SOP-1", 0).await.2.unwrap();
    // What was swept can come again.
    upload(client, header(&unused), &unused).await.unwrap();
    server.stop().await;
}

async fn what_a_document_lets_go_gets_its_grace_anew(database: Database) {
    let site = Site::configured(database, BY_HAND);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let [old, new] = [3, 4].map(|seed| bytes(5_000, seed));
    upload(client, header_for("SOP-1@1.0", &old), &old)
        .await
        .unwrap();
    server.advance(30 * DAY);
    upload(client, header_for("SOP-1@1.0", &new), &new)
        .await
        .unwrap();
    // A backup that began before may still look for it.
    sweep(&server, false).await;
    assert_eq!(stored(&site).len(), 2);
    server.advance(8 * DAY);
    sweep(&server, false).await;
    assert_eq!(stored(&site), [place(&site, &new)]);
    server.stop().await;
}

async fn a_file_that_nobody_noted_is_swept_after_its_grace(database: Database) {
    let site = Site::configured(database, BY_HAND);
    let server = site.start().await;
    server.without_backups().await;
    let [old, young] = [5, 6].map(|seed| bytes(5_000, seed));
    for (bytes, days) in [(&old, 10), (&young, 1)] {
        let place = place(&site, bytes);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, bytes).unwrap();
        written_at(&place, noon() - SignedDuration::from_hours(24 * days));
    }
    // What is no content of ours is left alone.
    let foreign = site.data().join("contents/ab");
    fs::create_dir_all(&foreign).unwrap();
    fs::write(foreign.join("notes"), "x").unwrap();

    let would = sweep(&server, true).await;
    assert_eq!(would.counters["contents_removed"], 1, "{}", would.message);
    assert!(place(&site, &old).exists());
    let run = sweep(&server, false).await;
    assert_eq!(
        (
            run.counters["contents_found"],
            run.counters["contents_removed"]
        ),
        (2, 1)
    );
    assert!(!place(&site, &old).exists() && place(&site, &young).exists());
    server.advance(7 * DAY);
    let run = sweep(&server, false).await;
    assert_eq!(
        (
            run.counters["contents_found"],
            run.counters["contents_removed"]
        ),
        (0, 1)
    );
    assert_eq!(stored(&site), [foreign.join("notes")]);
    server.stop().await;
}

async fn uploads_that_nobody_went_on_with_are_removed(database: Database) {
    let site = Site::configured(database, BY_HAND);
    let server = site.start().await;
    let client = &server.client;
    let [old, young, alive] = [7, 8, 9].map(|seed| bytes(5_000, seed));
    for broken in [&old, &young] {
        refused(upload(client, header(broken), &broken[..1_000]).await);
    }
    let sending = Sending::begin(client, header(&alive)).await;
    sending.data(&alive[..1_000]).await;
    comes(client, &alive, 1_000).await;
    let long_ago = noon() - SignedDuration::from_hours(25);
    written_at(&partial(&site, &old), long_ago);
    written_at(&partial(&site, &alive), long_ago);
    written_at(&partial(&site, &young), noon());

    let would = sweep(&server, true).await;
    assert_eq!(would.counters["uploads_removed"], 1, "{}", would.message);
    assert_eq!(files(&site, "incoming").len(), 3);
    let run = sweep(&server, false).await;
    assert_eq!(
        (run.counters["uploads_removed"], run.counters["bytes_freed"]),
        (1, 1_000)
    );
    assert!(!partial(&site, &old).exists() && partial(&site, &young).exists());
    sending.data(&alive[1_000..]).await;
    sending.finish().await.unwrap();
    server.stop().await;
}

/// Whoever comes at the moment of a sweep either has the content, or is told that it has gone.
async fn what_is_asked_for_while_it_is_swept_is_stored_or_refused(database: Database) {
    let site = Site::configured(database, BY_HAND);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    let mut kept = 0;
    for round in 0..8 {
        let number = format!("SOP-{round}");
        draft(client, &number).await;
        let whole = bytes(5_000, 10 + round);
        upload(client, header(&whole), &whole).await.unwrap();
        server.advance(8 * DAY);
        let key = format!("{number}@1.0");
        let (_, asked) = tokio::join!(
            sweep(&server, false),
            upload(client, header_for(&key, &whole), &[])
        );
        match asked {
            Ok(_) => {
                kept += 1;
                let (_, got, ended) = download(client, &number, 0).await;
                ended.unwrap();
                assert!(got == whole, "round {round}");
            }
            Err(status) => {
                let (code, _, status) = refused::<()>(Err(status));
                // It had gone already: then bytes were to come; or it went at that moment.
                let codes = [Code::Aborted, Code::InvalidArgument];
                assert!(codes.contains(&code), "round {round}: {status:?}");
                assert!(!place(&site, &whole).exists(), "round {round}");
            }
        }
    }
    assert!(kept <= 8);
    server.stop().await;
}

/// A sweep that was held up may take away what has come since, and break off then.
async fn what_a_sweep_had_taken_away_is_put_back_where_a_document_holds_it(database: Database) {
    let site = Site::configured(database, BY_HAND);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let [held, unknown] = [30, 31].map(|seed| bytes(5_000, seed));
    upload(client, header_for("SOP-1@1.0", &held), &held)
        .await
        .unwrap();
    let swept = site.data().join("contents/swept");
    fs::create_dir_all(&swept).unwrap();
    // As earlier versions name it, and as this one does.
    fs::rename(place(&site, &held), swept.join(sha256(&held))).unwrap();
    let name = format!("{}-1", sha256(&unknown));
    fs::write(swept.join(name), &unknown).unwrap();

    sweep(&server, true).await;
    assert_eq!(files(&site, "swept").len(), 2, "as long as nothing is done");
    let run = sweep(&server, false).await;
    assert_eq!(run.counters["contents_removed"], 1, "{}", run.message);
    assert_eq!(stored(&site), [place(&site, &held)]);
    assert!(files(&site, "swept").is_empty());
    let (_, got, ended) = download(client, "SOP-1", 0).await;
    ended.unwrap();
    assert!(got == held);
    // It stays there for good.
    server.advance(30 * DAY);
    sweep(&server, false).await;
    assert_eq!(stored(&site), [place(&site, &held)]);
    server.stop().await;
}

async fn what_cannot_be_forgotten_stays_and_can_be_asked_for(database: Database) {
    let site = Site::configured(database, BY_HAND);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    let unused = bytes(5_000, 32);
    upload(client, header(&unused), &unused).await.unwrap();
    server.advance(8 * DAY);
    site.refuse("DELETE", "contents", "ROW.size = 5000").await;

    let run = server.trigger("sweep-content").await;
    until("the attempt to fail", async || {
        let run = server.run(&run.name).await;
        let over = [pb::RunState::Failed, pb::RunState::RetryWait].contains(&run.state());
        over.then_some(())
    })
    .await;

    assert_eq!(stored(&site), [place(&site, &unused)]);
    assert!(files(&site, "swept").is_empty());
    upload(client, header(&unused), &[]).await.unwrap();
    site.allow("contents").await;
    server.stop().await;
}
