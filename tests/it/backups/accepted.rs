//! What was accepted is accepted wherever the point is: in lists, in what is found anew, and in copies.

use std::fs;

use watchbell_client::pb;

use super::{
    adopting::forget,
    archives::{archived, restored, with_archive_and},
    disaster::Saved,
    likeness::source,
    losses::accept,
    vault::Vault,
    verdicts::{id, listed},
};
use crate::support::{Database, Site, on_both};

on_both!(what_was_accepted_is_so_in_lists_in_copies_and_where_it_is_found_anew);

fn is_accepted(point: &pb::RestorePoint) -> bool {
    let reason = point.acceptance.as_ref().map(|one| one.reason.as_str());
    point.state() == pb::RestorePointState::Complete && reason == Some("it was moved")
}

async fn what_was_accepted_is_so_in_lists_in_copies_and_where_it_is_found_anew(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    for number in 0..30 {
        fs::write(files.path().join(format!("{number}")), "there").unwrap();
    }
    let site = with_archive_and(database, vaults.path(), &source("www", files.path()));
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["database", "www"]).await;
    vault.back_up("files").await;
    let whole = vault.newest().await;
    for file in fs::read_dir(files.path()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    server.advance(60);
    vault.back_up("files").await;
    let fallen = vault.newest().await;
    assert_eq!(fallen.state(), pb::RestorePointState::Partial);

    accept(&server, &fallen.name, "it was moved").await.unwrap();
    vault.drill().await;
    let run = vault.back_up("monthly-archive").await;

    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let copy = archived(&vault).await.pop().unwrap();
    let (copy, _) = vault.point(&copy.name).await;
    assert_eq!(copy.source_point, fallen.name);
    assert!(is_accepted(&copy), "{copy:?}");
    // Whoever has nothing but a repository knows it from there, of either.
    let next = Site::bare(site.database.empty().await);
    let saved = Saved::of(&site);
    let lists = [
        listed(&saved, &next),
        restored(vaults.path(), &next, &["--list"]),
    ];
    for list in lists {
        let line = |point| list.lines().find(|line| line.contains(&id(point)));
        let told = line(&fallen).unwrap();
        assert!(told.ends_with("verified, accepted"), "{list}");
        assert!(line(&whole).is_none_or(|line| line.ends_with("verified")));
    }
    let said = restored(vaults.path(), &next, &[]);
    assert!(
        said.contains(&format!("restored {}", id(&fallen))),
        "{said}"
    );

    for kind in ["full", "archive"] {
        forget(&site, kind).await;
    }
    let run = vault.verify_by_schedule().await;
    assert!(
        run.message.contains("was found in the repository"),
        "{run:?}"
    );
    let (found, _) = vault.point(&fallen.name).await;
    assert!(is_accepted(&found), "{found:?}");
    let copy = archived(&vault).await.pop().unwrap();
    let (copy, _) = vault.point(&copy.name).await;
    assert!(is_accepted(&copy), "{copy:?}");
    assert!(copy.verify_time.is_some(), "{copy:?}");
    server.stop().await;
}
