//! What describes a restore point in its repository: lines, of which the last says that these are all.

use std::{io::Write as _, process::Stdio};

use serde_json::Value;

use super::{disaster::Saved, restic::Restic, vault::Vault};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both},
};

on_both!(a_manifest_is_lines_and_one_that_is_cut_off_brings_nothing_back,);

async fn a_manifest_is_lines_and_one_that_is_cut_off_brings_nothing_back(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for number in 1..=5 {
        let content = bytes(9000, number);
        vault.document(&format!("SOP-{number}"), &content).await;
    }
    vault.back_up("daily-full").await;
    let point = vault.newest().await;
    let saved = Saved::of(&site);
    server.stop().await;
    let password = std::fs::read_to_string(saved.password()).unwrap();
    let Some(restic) = Restic::at(&saved.repository(), password.trim()) else {
        return;
    };

    let manifest = restic.must(&["dump", &point.manifest_snapshot, "/manifest.json"]);
    let lines: Vec<&str> = manifest.lines().collect();
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let [head, files @ .., last] = lines.as_slice() else {
        panic!("{manifest}")
    };
    assert_eq!(read(head)["format"], 2);
    assert_eq!(read(head).get("files"), None);
    assert_eq!(read(last)["end"]["files"], point.file_count);
    assert_eq!(read(last)["end"]["bytes"], point.source_bytes);
    assert_eq!(i64::try_from(files.len()).unwrap(), point.file_count);
    assert!(files.iter().all(|file| read(file)["sha256"].is_string()));

    // Somebody has stored it once more, without its last line.
    let cut = manifest.strip_suffix(&format!("{last}\n")).unwrap();
    store_instead(&restic, &point.manifest_snapshot, cut);
    let next = Site::bare(site.database.empty().await);
    let id = point.name.strip_prefix("restorePoints/").unwrap();
    let url = next.database.url();
    for more in [&["--point", id][..], &[]] {
        let done = saved.restore(next.data(), &url, more);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success(), "{told}");
        let says = match more.is_empty() {
            true => "there is no complete restore point",
            false => "it is cut off: its last line is missing",
        };
        assert!(told.contains(says), "{told}");
        assert!(!next.data().join("watchbell.db").exists());
    }
}

/// Stores a manifest in the place of one that is there, with all that this says of itself.
fn store_instead(restic: &Restic, snapshot: &str, manifest: &str) {
    let there: Value = serde_json::from_str(&restic.must(&["snapshots", "--json"])).unwrap();
    let mut there = there.as_array().unwrap().iter();
    let old = there.find(|one| one["id"] == snapshot).unwrap();
    let tags = old["tags"].as_array().unwrap().iter();
    let tags: Vec<&str> = tags.map(|tag| tag.as_str().unwrap()).collect();
    let tags = tags.join(",");
    let args = ["backup", "--stdin", "--stdin-filename", "manifest.json"];
    let mut command = restic.command(&args);
    command.args(["--host", "watchbell", "--tag", &tags]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(manifest.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    restic.must(&["forget", snapshot]);
}
