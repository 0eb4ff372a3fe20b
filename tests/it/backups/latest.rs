//! What people type in a disaster brings back the data, whatever they ask restic for the latest of: of everything, of a
//! host, of a tag; in a repository and in an archive, whatever is said of points beside them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use watchbell_client::pb;

use super::{
    archives::with_archive_and,
    likeness::source,
    losses::accept,
    restic::Restic,
    vault::Vault,
    verifying::{flip_in, packs},
};
use crate::support::{Database, on_both, repository::PASSWORD};

on_both!(the_latest_is_always_the_data);

const BACKUPS: u32 = 50;
const POLICIES: [&str; 2] = ["one", "two"];

/// What restic may be asked for the latest of, and the snapshot that it has to be.
#[derive(Default)]
struct Latest(BTreeMap<Vec<String>, String>);

impl Latest {
    /// That this one of a policy is the newest there is.
    fn is(&mut self, policy: &str, snapshot: &str) {
        let of_policy = format!("policy={policy}");
        for by in [
            &[][..],
            &["--host", "watchbell"],
            &["--tag", "watchbell"],
            &["--tag", &of_policy],
        ] {
            let by = by.iter().map(|word| (*word).to_owned()).collect();
            self.0.insert(by, snapshot.to_owned());
        }
    }

    /// By restic's own rule: of those that fit, the one whose time is the last.
    #[track_caller]
    fn agrees(&self, restic: &Restic) {
        let known = restic.must(&["snapshots", "--json"]);
        let known: Vec<serde_json::Value> = serde_json::from_str(&known).unwrap();
        for (by, wanted) in &self.0 {
            let fits = |one: &&serde_json::Value| match &by[..] {
                [flag, host] if flag == "--host" => one["hostname"] == **host,
                [_, tag] => {
                    let tags = one["tags"].as_array().unwrap();
                    tags.iter().any(|one| one == tag.as_str())
                }
                _ => true,
            };
            let fitting = known.iter().filter(fits);
            let timed = fitting.map(|one| {
                let time: Timestamp = one["time"].as_str().unwrap().parse().unwrap();
                (time, one["id"].as_str().unwrap())
            });
            let mut timed: Vec<_> = timed.collect();
            timed.sort();
            let [.., before, last] = &timed[..] else {
                panic!("a manifest is beside it: {timed:?}")
            };
            assert_eq!(last.1, wanted, "{by:?}");
            assert!(before.0 < last.0, "{by:?}: of two at once it takes either");
        }
    }

    /// By restic itself.
    #[track_caller]
    fn brings_back(&self, restic: &Restic, by: &[&str], path: &str, content: &str) {
        let words: Vec<String> = by.iter().map(|word| (*word).to_owned()).collect();
        assert!(self.0.contains_key(&words), "{by:?}");
        let dumped = restic.must(&[&["dump", "latest", path], by].concat());
        assert_eq!(dumped, content, "{by:?}");
        let target = tempfile::tempdir().unwrap();
        let to = target.path().display().to_string();
        restic.must(&[&["restore", "latest", "--target", &to], by].concat());
        let restored = target.path().join(path.strip_prefix('/').unwrap());
        assert_eq!(fs::read_to_string(restored).unwrap(), content, "{by:?}");
    }
}

fn path_of(files: &Path, policy: &str) -> String {
    format!("/sources/{policy}{}/{policy}/file", files.display())
}

async fn the_latest_is_always_the_data(database: Database) {
    let (files, vaults) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |policy: &str| files.path().join(policy);
    for policy in POLICIES {
        fs::create_dir(at(policy)).unwrap();
    }
    let sources = POLICIES.map(|policy| source(policy, &at(policy))).concat();
    let site = with_archive_and(database, vaults.path(), &sources);
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for policy in POLICIES {
        let retention = pb::RetentionPolicy {
            keep_last: 100,
            ..pb::RetentionPolicy::default()
        };
        let full = pb::BackupPolicy {
            kind: pb::BackupKind::Full.into(),
            sources: vec![policy.to_owned()],
            retention: Some(retention),
            ..pb::BackupPolicy::default()
        };
        vault.create_policy(policy, full).await.unwrap();
    }
    let place = vaults.path().join("repository");
    let (Some(restic), Some(of_archive)) = (vault.restic(), Restic::at(&place, PASSWORD)) else {
        return server.stop().await;
    };
    let (mut latest, mut archived) = (Latest::default(), Latest::default());
    for number in 0..BACKUPS {
        let policy = POLICIES[usize::from(number % 3 == 0)];
        let is_emptied = number == 21;
        let content = format!("content {number}");
        match is_emptied {
            true => fs::remove_file(at(policy).join("file")).unwrap(),
            false => fs::write(at(policy).join("file"), &content).unwrap(),
        }
        server.advance(1);
        let before = packs(&vault.repository());
        let run = vault.back_up(policy).await;
        let outcome = match is_emptied {
            true => pb::RunOutcome::Partial,
            false => pb::RunOutcome::Worked,
        };
        assert_eq!(run.outcome(), outcome, "{run:?}");
        let point = vault.newest_of(pb::BackupKind::Full).await;
        latest.is(policy, &point.snapshot);
        latest.agrees(&restic);
        if is_emptied {
            let run = accept(&server, &point.name, "it went to another host").await;
            let run = run.unwrap();
            assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
            latest.agrees(&restic);
        }
        if number == 31 {
            let new = packs(&vault.repository());
            let new: Vec<PathBuf> = new
                .into_iter()
                .filter(|one| !before.contains(one))
                .collect();
            is_found_damaged_and_mended(&vault, &point, &new, || latest.agrees(&restic)).await;
        }
        if number % 10 == 9 {
            let drill = vault.drill().await;
            assert_eq!(drill.state(), pb::RunState::Succeeded, "{drill:?}");
            let run = vault.back_up("monthly-archive").await;
            assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
            let copy = vault.newest_of(pb::BackupKind::Archive).await;
            assert_eq!(copy.source_point, point.name);
            archived.is(policy, &copy.snapshot);
            for (latest, restic) in [(&latest, &restic), (&archived, &of_archive)] {
                latest.agrees(restic);
                let of_policy = format!("policy={policy}");
                for by in [&[][..], &["--tag", &of_policy]] {
                    latest.brings_back(restic, by, &path_of(files.path(), policy), &content);
                }
            }
        }
    }
    server.stop().await;
}

/// Two verdicts more on a point, which stand beside it in the repository.
async fn is_found_damaged_and_mended(
    vault: &Vault<'_>,
    point: &pb::RestorePoint,
    packs: &[PathBuf],
    agrees: impl Fn(),
) {
    let found = [pb::RunState::Failed, pb::RunState::Succeeded];
    for state in found {
        packs.iter().for_each(|pack| flip_in(pack));
        let read = vault.verify(&point.name, pb::VerificationLevel::Read).await;
        assert_eq!(read.state(), state, "{read:?}");
        agrees();
    }
    let (point, _) = vault.point(&point.name).await;
    assert_eq!(point.damage_time, None, "{point:?}");
}
