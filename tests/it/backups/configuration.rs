//! The configuration file is in each full backup, so that a lost machine comes back with its commands; in what leaves the
//! encrypted repository it has no secrets. What it may not name as a source it refuses.

use std::{fs, os::unix::fs::symlink, process::Command};

use watchbell_client::pb;

use super::{likeness::source, restic::everything_in, vault::Vault};
use crate::support::{Database, Site, on_both, skip};

on_both!(
    the_configuration_is_in_a_backup_and_without_secrets_in_an_export,
    a_configuration_that_is_gone_makes_a_point_partial,
    a_source_that_has_come_to_hold_the_repository_is_not_read,
);

const FILE: &str = "# by hand: hunter2\n[commands.sync]\nargv = [\"/bin/true\", \"--token\", \"t0ken-of-it\"]\n\
                    environment = { API_KEY = \"k3y-of-it\" }\n";

async fn the_configuration_is_in_a_backup_and_without_secrets_in_an_export(database: Database) {
    let site = Site::configured(database, FILE).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let point = vault.newest().await;
    assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
    if let Some(restic) = vault.restic() {
        let restored = restic.restore(&point.snapshot);
        let whole = restored.path().join("configuration/watchbell.toml");
        assert_eq!(fs::read_to_string(whole).unwrap(), FILE);
    }
    let run = vault.back_up("weekly-export").await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let export = vault.newest_of(pb::BackupKind::Export).await;
    let file = site.data().join("backups/exports").join(&export.file);
    let unpacked = tempfile::tempdir().unwrap();
    let unpack = Command::new("tar")
        .args([
            "--zstd".as_ref(),
            "-xf".as_ref(),
            file.as_os_str(),
            "-C".as_ref(),
        ])
        .arg(unpacked.path())
        .output();
    match unpack {
        Ok(done) if done.status.success() => {
            let all = everything_in(unpacked.path());
            let is_configuration = |path: &std::path::Path| {
                let path = path.to_string_lossy();
                path.contains("configuration") && path.ends_with(".toml")
            };
            let configuration: Vec<_> = all
                .iter()
                .filter(|(path, _)| is_configuration(path))
                .collect();
            assert_eq!(configuration.len(), 1, "{configuration:?}");
            let text = String::from_utf8_lossy(configuration[0].1);
            assert!(text.contains("[commands.sync]"), "{text}");
            for secret in ["hunter2", "t0ken-of-it", "k3y-of-it"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        _ => skip("an export that stock tools unpack", "zstd is not installed"),
    }
    server.stop().await;
}

async fn a_configuration_that_is_gone_makes_a_point_partial(database: Database) {
    let site = Site::configured(database, FILE).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    fs::remove_file(site.data().join("watchbell.toml")).unwrap();
    vault.back_up("daily-full").await;
    let point = vault.newest().await;
    assert_eq!(point.state(), pb::RestorePointState::Partial, "{point:?}");
    let missing = &point.missing[0];
    assert_eq!(missing.path, "/configuration/watchbell.toml");
    server.stop().await;
}

/// The link was another when the configuration was read.
async fn a_source_that_has_come_to_hold_the_repository_is_not_read(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (files, link) = (folder.path().join("files"), folder.path().join("link"));
    fs::create_dir(&files).unwrap();
    fs::write(files.join("file"), "content").unwrap();
    symlink(&files, &link).unwrap();
    let site = Site::configured(database, &source("www", &link)).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("all", &["database", "www"]).await;
    let run = vault.back_up("all").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    fs::remove_file(&link).unwrap();
    symlink(site.data().join("backups"), &link).unwrap();
    server.advance(60);
    let run = vault.back_up("all").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    let missing = vault.newest().await.missing;
    let said = &missing[0].message;
    assert!(said.contains("backups.repository"), "{missing:?}");
    assert!(said.contains("it was not read"), "{missing:?}");
    server.stop().await;
}

#[test]
fn places_of_backups_in_a_source_and_paths_in_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let check = |toml: &str| {
        let file = folder.path().join("watchbell.toml");
        fs::write(&file, toml).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args(["config", "--check", "--config"])
            .arg(&file)
            .args(["--data".as_ref(), folder.path().join("data").as_os_str()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.success(), said)
    };
    let inside =
        "[backups]\nrepository = \"/srv/all/vault\"\n[backups.sources.a]\npaths = [\"/srv/all\"]\n";
    let (fine, said) = check(inside);
    assert!(!fine && said.contains("backups.repository"), "{said}");
    let (fine, said) = check(&format!("{inside}exclude = [\"/vault\"]\n"));
    assert!(fine, "{said}");
    let (fine, said) = check("[backups.sources.a]\npaths = [\"/srv/all\", \"/srv/all/some\"]\n");
    assert!(!fine && said.contains("lies in"), "{said}");
    let (fine, said) = check("[backups.sources.a]\npaths = [\"/srv/all\"]\nexclude = [\"a{b\"]\n");
    assert!(!fine && said.contains("a{b"), "{said}");
    let (fine, said) = check("[backups.sources.a]\nsqlite = \"/srv/a.db\"\nsentinel = \"x\"\n");
    assert!(!fine && said.contains("paths alone"), "{said}");
    // Through a link, each place.
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, folder.path().join("link")).unwrap();
    let link = folder.path().join("link");
    let of_real = format!("[backups.sources.a]\npaths = [{real:?}]\n");
    for (setting, section) in [
        ("repository", "[backups]\nrepository"),
        ("staging", "[backups]\nstaging"),
        ("exports", "[backups]\nexports"),
        (
            "archive.repository",
            "[backups.archive]\npassword = { file = \"/srv/password\" }\nrepository",
        ),
    ] {
        let place = |place: &std::path::Path| format!("{section} = {:?}\n", place.join("vault"));
        for inside in [place(&real), place(&link)] {
            let toml = format!("{inside}{of_real}");
            let (fine, said) = check(&toml);
            assert!(
                !fine && said.contains(&format!("backups.{setting}:")),
                "{said}"
            );
            let (fine, said) = check(&format!("{toml}exclude = [\"/vault/\"]\n"));
            assert!(fine, "{said}");
        }
    }
    // What lies beside exports and dumps is none of them; all that lies in a repository is a part of it.
    let below = real.join("photos");
    for (setting, is_fine) in [("exports", true), ("staging", true), ("repository", false)] {
        let (fine, said) = check(&format!(
            "[backups]\n{setting} = {real:?}\n[backups.sources.a]\npaths = [{below:?}]\n"
        ));
        assert_eq!(fine, is_fine, "{setting}: {said}");
        assert!(fine || said.contains("lies in"), "{said}");
    }
    // What the data directory holds by itself.
    fs::create_dir(folder.path().join("data")).unwrap();
    symlink(folder.path().join("data"), folder.path().join("also")).unwrap();
    let also = folder.path().join("also");
    let (fine, said) = check(&format!("[backups.sources.a]\npaths = [{also:?}]\n"));
    assert!(
        !fine && said.contains("exclude \"/backups/repository/\""),
        "{said}"
    );
}
