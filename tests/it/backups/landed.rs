//! What earlier versions have left on the disk is opened, verified and restored.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use watchbell_client::pb;

use super::{
    alone::{restore, said},
    disaster::Saved,
    likeness::{assert_same, likeness_of, restored_at},
    passwords::secret,
    restic::Restic,
    vault::Vault,
    verdicts::listed,
};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both, repository::PASSWORD},
};

on_both!(
    a_repository_of_a_landed_version_is_restored_and_gone_on_with,
    an_archive_of_a_landed_version_alone_brings_everything_back,
    an_archive_without_verdicts_is_restored_and_gone_on_with,
);

/// What a landed version has left on the disk.
struct Landed {
    version: &'static str,
    /// When it was left.
    at: &'static str,
    sqlite: &'static [u8],
    postgresql: &'static [u8],
    /// Whether it has left an export, too.
    has_export: bool,
    more: Option<More>,
}

/// What the script leaves since: a source of files, which the second point holds, and an archive of that point.
struct More {
    files: &'static [u8],
    sqlite: &'static [u8],
    postgresql: &'static [u8],
}

macro_rules! fixture {
    ($version:literal, $name:literal) => {
        include_bytes!(concat!("../../fixtures/", $version, "/", $name, ".tar.zst"))
    };
}

macro_rules! landed {
    ($version:literal, $at:expr, $has_export:literal, $more:expr) => {
        Landed {
            version: $version,
            at: $at,
            sqlite: fixture!($version, "sqlite"),
            postgresql: fixture!($version, "postgresql"),
            has_export: $has_export,
            more: $more,
        }
    };
    ($version:literal, $at:expr) => {
        landed!(
            $version,
            $at,
            true,
            Some(More {
                files: fixture!($version, "files"),
                sqlite: fixture!($version, "sqlite-archive"),
                postgresql: fixture!($version, "postgresql-archive"),
            })
        )
    };
}

/// The oldest first.
const LANDED: [Landed; 4] = [
    landed!(
        "2caa37f",
        include_str!("../../fixtures/2caa37f/left-at"),
        true,
        None
    ),
    landed!("de1dc59", "2026-11-30T00:40:00Z", false, None),
    landed!(
        "76ebb9f",
        include_str!("../../fixtures/76ebb9f/left-at"),
        true,
        None
    ),
    landed!("9d3c423", include_str!("../../fixtures/9d3c423/left-at")),
];

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
/// Where the source lay, which is in the names of what is stored.
const SOURCE: &str = "/tmp/watchbell-landed/files";
/// What its rules left out.
const LEFT_OUT: [&str; 4] = [
    "other/left-out.html",
    "www/cache",
    "www/cache/left-out.html",
    "www/deep/left-out.tmp",
];

fn unpack(packed: &[u8], into: &Path) {
    let unpacked = zstd::stream::read::Decoder::new(packed).unwrap();
    tar::Archive::new(unpacked).unpack(into).unwrap();
    fs::set_permissions(into, fs::Permissions::from_mode(0o700)).unwrap();
}

/// With links, and all times, which the library sets of files alone.
fn unpack_files(packed: &[u8], into: &Path) {
    fs::create_dir_all(into).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-xp", "-C"]).arg(into).stdin(Stdio::piped());
    let mut tar = tar.spawn().unwrap();
    zstd::stream::copy_decode(packed, tar.stdin.take().unwrap()).unwrap();
    assert!(tar.wait().unwrap().success());
}

/// What is said of a restore that brings back files of root's: others may not give them to it, and are told so.
#[track_caller]
fn said_of(done: &Output) -> String {
    if !nix::unistd::geteuid().is_root() && done.status.code() == Some(6) {
        return String::from_utf8_lossy(&done.stdout).into_owned();
    }
    said(done)
}

/// The source is back as it was, without what its rules left out.
#[track_caller]
fn its_files_are_in(data: &Path, more: &More) {
    let was = tempfile::tempdir().unwrap();
    unpack_files(more.files, was.path());
    let mut was = likeness_of(was.path());
    for path in LEFT_OUT {
        assert!(was.remove(Path::new(path)).is_some(), "{path}");
    }
    let restored = restored_at(&data.join("restored"), "files", Path::new(SOURCE));
    assert_same(&likeness_of(&restored), &was);
}

async fn a_repository_of_a_landed_version_is_restored_and_gone_on_with(database: Database) {
    for landed in LANDED {
        let version = landed.version;
        let packed = match database.is_postgresql() {
            true => landed.postgresql,
            false => landed.sqlite,
        };
        let left = Site::new(Database::sqlite());
        unpack(packed, left.data());
        if landed.has_export {
            its_export_is_sound(left.data());
        }
        let saved = Saved::of(&left);
        let next = Site::bare(database.empty().await);
        let url = next.database.url();
        let listed = listed(&saved, &next);
        assert_eq!(listed.lines().count(), 2, "{version}: {listed}");

        let done = said_of(&saved.restore(next.data(), &url, &[]));
        assert!(
            done.contains("2 documents, 2 contents"),
            "{version}: {done}"
        );
        if let Some(more) = &landed.more {
            its_files_are_in(next.data(), more);
        }
        let own = next.data().join("backups/repository");
        fs::rename(saved.repository(), &own).unwrap();
        next.clock.set(watchbell::clock::wall_now());
        verified_and_gone_on_with(&next, 2).await;
        if let Some(restic) = Restic::at(&own, PASSWORD) {
            restic.finds_it_sound();
        }
    }
}

async fn an_archive_of_a_landed_version_alone_brings_everything_back(database: Database) {
    for landed in LANDED {
        let Some(more) = &landed.more else { continue };
        let packed = match database.is_postgresql() {
            true => more.postgresql,
            false => more.sqlite,
        };
        let saved = tempfile::tempdir().unwrap();
        let place = saved.path().join("archive");
        fs::create_dir(&place).unwrap();
        unpack(packed, &place);
        let next = is_restored_alone(&database, &place, 1).await;
        its_files_are_in(next.data(), more);
    }
}

/// Of a version that wrote none beside its manifests, in its archive as in its repository. A copy of restic's is what its
/// own was: ids are others, and all that snapshots say is as it was.
async fn an_archive_without_verdicts_is_restored_and_gone_on_with(database: Database) {
    let [landed, ..] = LANDED;
    let packed = match database.is_postgresql() {
        true => landed.postgresql,
        false => landed.sqlite,
    };
    let left = Site::new(Database::sqlite());
    unpack(packed, left.data());
    let own = left.data().join("backups");
    let saved = tempfile::tempdir().unwrap();
    let place = saved.path().join("archive");
    let Some(restic) = Restic::at(&place, PASSWORD) else {
        return;
    };
    let from = own.join("repository").display().to_string();
    let password = own.join("password").display().to_string();
    let from = ["--from-repo", &from, "--from-password-file", &password];
    restic.must(&[&["init", "--copy-chunker-params"], &from[..]].concat());
    restic.must(&[&["copy"], &from[..]].concat());
    let ids = |place: &Path| {
        let names = fs::read_dir(place.join("snapshots")).unwrap();
        let names = names.map(|name| name.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let (copies, originals) = (ids(&place), ids(&own.join("repository")));
    assert_eq!(copies.len(), originals.len());
    assert!(copies.is_disjoint(&originals));

    is_restored_alone(&database, &place, 2).await;
}

/// By the command, onto a new machine, whose server goes on in it.
async fn is_restored_alone(database: &Database, place: &Path, points: usize) -> Site {
    let next = Site::bare(database.empty().await);
    let password = place.with_file_name("password");
    secret(&password, PASSWORD);
    let listed = restore(place, &password, &["--list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.lines().count(), points, "{listed}");
    let (data, url) = (next.data().display().to_string(), next.database.url());
    let to = ["--data", data.as_str(), "--database", url.as_str()];
    let done = said_of(&restore(place, &password, &to));
    assert!(done.contains("2 documents, 2 contents"), "{done}");
    let own = next.data().join("backups/repository");
    fs::rename(place, &own).unwrap();
    next.clock.set(watchbell::clock::wall_now());
    verified_and_gone_on_with(&next, points).await;
    if let Some(restic) = Restic::at(&own, PASSWORD) {
        restic.finds_it_sound();
    }
    next
}

fn its_export_is_sound(data: &Path) {
    let exports = fs::read_dir(data.join("backups/exports")).unwrap();
    let mut exports = exports.map(|entry| entry.unwrap().path());
    let export = exports.find(|path| path.extension().is_some_and(|end| end == "zst"));
    let verified = watchbell::backup::export::verify(&export.unwrap()).unwrap();
    assert_eq!(verified.findings, [""; 0]);
    assert!(0 < verified.files);
}

#[tokio::test]
async fn a_data_directory_of_a_landed_version_is_served() {
    for landed in LANDED {
        let site = Site::bare(Database::sqlite());
        unpack(landed.sqlite, site.data());
        // Later, what was due meanwhile would be made up for at the same time.
        site.clock.set(landed.at.trim().parse().unwrap());
        verified_and_gone_on_with(&site, 2).await;
    }
}

/// Both points are read, file by file; the newer is drilled; and a further one refers to what is there.
async fn verified_and_gone_on_with(site: &Site, points: usize) {
    let server = site.start().await;
    // After a restore everything is paused.
    let resume = pb::ResumeAllRequest::default();
    drop(server.client.scheduler().resume_all(resume).await);
    let vault = Vault::of(&server, site);
    let mut there = vault.points().await;
    // Of an archive alone, what was not copied is known to be gone.
    there.retain(|point| point.kind() == pb::BackupKind::Full && point.damage_time.is_none());
    assert_eq!(there.len(), points, "{there:?}");
    for point in &there {
        let read = vault.verify(&point.name, pb::VerificationLevel::Read).await;
        assert_eq!(read.state(), pb::RunState::Succeeded, "{read:?}");
    }
    let drill = vault.drill().await;
    assert_eq!(drill.state(), pb::RunState::Succeeded, "{drill:?}");
    vault.document("SOP-3", &bytes(9000, 3)).await;
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let drill = vault.drill().await;
    assert_eq!(drill.state(), pb::RunState::Succeeded, "{drill:?}");
    server.stop().await;
}

/// The rules of the source, and what else is left out of it.
fn rules(more: &str) -> String {
    format!(
        "[backups.sources.files]\npaths = [{SOURCE:?}]\ninclude = [\"/www/\", \"*.txt\"]\n\
         exclude = [\"*.tmp\", \"/www/cache/\"{more}]\n"
    )
}

#[tokio::test]
async fn a_source_of_a_landed_version_is_compared_by_what_its_rules_leave_out() {
    // One at a time has the place of the source.
    let alone = fs::File::open(FIXTURES).unwrap();
    alone.lock().unwrap();
    for landed in LANDED {
        let Some(more) = landed.more else { continue };
        let _ = fs::remove_dir_all(SOURCE);
        unpack_files(more.files, Path::new(SOURCE));
        let mut site = Site::bare(Database::sqlite());
        unpack(landed.sqlite, site.data());
        site.clock.set(landed.at.trim().parse().unwrap());
        // As they were; then of a version that understood them otherwise; then others.
        for (number, out) in ["", "", ", \"*.html\""].into_iter().enumerate() {
            site.configure(&rules(out));
            if 0 < number {
                understood_otherwise(&site).await;
            }
            let server = site.start().await;
            let vault = Vault::of(&server, &site);
            server.advance(60);
            let run = vault.back_up("files").await;
            let point = vault.newest().await;
            let state = match out {
                "" => pb::RestorePointState::Complete,
                _ => pb::RestorePointState::Partial,
            };
            assert_eq!(point.state(), state, "{number}: {run:?} {point:?}");
            let lost: Vec<_> = point.losses.iter().map(|loss| loss.kind()).collect();
            match out {
                "" => assert_eq!(lost, []),
                _ => {
                    assert_eq!(lost, [pb::SourceLossKind::LeftOut]);
                    let message = &point.losses[0].message;
                    assert!(message.starts_with("20 files that "), "{message}");
                }
            }
            server.stop().await;
        }
    }
    fs::remove_dir_all(Path::new(SOURCE).parent().unwrap()).unwrap();
}

/// What is known of all points' rules is another text, as where their meaning was another.
async fn understood_otherwise(site: &Site) {
    let database = site.database.connect(site.data()).await;
    let at = (0..3).map(|number| format!(", '$.sources[{number}].rules', 'of before'"));
    let at: String = at.collect();
    let update = format!("UPDATE restore_points SET body = json_replace(body{at})");
    let done = database.execute_unprepared(&update).await.unwrap();
    assert_ne!(done.rows_affected(), 0);
    let changed = "SELECT id FROM restore_points WHERE body LIKE '%of before%'";
    let changed = Statement::from_string(DbBackend::Sqlite, changed);
    assert!(database.query_one_raw(changed).await.unwrap().is_some());
}

/// That what is there is tried, and that no release is without: a later one has to open what each has left.
#[test]
fn each_version_that_has_left_something_is_tried_and_each_release_has() {
    let folders = fs::read_dir(FIXTURES).unwrap().map(Result::unwrap);
    let folders = folders.filter(|entry| entry.path().is_dir());
    let mut there: Vec<String> = folders
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut tried = LANDED.map(|landed| landed.version);
    tried.sort_unstable();
    assert_eq!(there, tried);
    let read_me = fs::read_to_string(Path::new(FIXTURES).join("README.md")).unwrap();
    for version in tried {
        assert!(read_me.contains(&format!("\n- `{version}`")), "{version}");
    }
    let changes = include_str!("../../../CHANGELOG.md");
    let releases = changes.lines().filter_map(|line| line.strip_prefix("## ["));
    for release in releases.filter(|line| !line.starts_with("Unreleased")) {
        let (release, _) = release.split_once(']').unwrap();
        assert!(
            read_me.contains(&format!("which is {release}")),
            "nothing is there that {release} has left: see tests/fixtures/README.md"
        );
    }
    let newest = LANDED.last().unwrap();
    assert!(
        newest.more.is_some(),
        "with an archive and a source of files"
    );
}
