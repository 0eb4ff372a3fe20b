//! Exports that were packed anew: what is in one counts, and not the order.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};
use watchbell::backup::export::{Verified, verify};
use watchbell_client::pb;

use super::vault::Vault;
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both},
};

on_both!(an_export_may_be_packed_anew_and_what_is_wrong_with_it_is_told,);

pub(super) fn tar(args: &[&str], archive: &Path, folder: &Path, names: &[&str]) {
    let done = Command::new("tar")
        .args(args)
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .args(names)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}

/// Compresses an archive, and writes its checksum beside it.
pub(super) fn finished(plain: &Path) -> PathBuf {
    let packed = plain.with_extension("tar.zst");
    let bytes = zstd::encode_all(&fs::read(plain).unwrap()[..], 1).unwrap();
    let sum: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    fs::write(&packed, bytes).unwrap();
    fs::write(plain.with_extension("tar.zst.sha256"), sum).unwrap();
    packed
}

async fn an_export_may_be_packed_anew_and_what_is_wrong_with_it_is_told(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for number in 0..3 {
        let name = format!("SOP-{number}");
        vault.document(&name, &bytes(9000, number)).await;
    }
    vault.back_up("daily-full").await;
    let run = vault.back_up("weekly-export").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let point = vault.newest_of(pb::BackupKind::Export).await;
    server.stop().await;
    let file = site.data().join("backups/exports").join(&point.file);
    let good = verify(&file).unwrap();
    assert_eq!(good.findings, [""; 0]);

    let place = tempfile::tempdir().unwrap();
    let (unpacked, plain) = (place.path().join("unpacked"), place.path().join("new.tar"));
    fs::create_dir(&unpacked).unwrap();
    tar(&["--zstd", "-xf"], &file, &unpacked, &[]);
    let packed = |names: &[&str], more: &[&str]| -> Verified {
        tar(&["-cf"], &plain, &unpacked, names);
        if !more.is_empty() {
            tar(&["--no-recursion", "-rf"], &plain, &unpacked, more);
        }
        verify(&finished(&plain)).unwrap()
    };
    // Its manifest comes last.
    let anew = packed(
        &[
            "files",
            "SHA256SUMS",
            "database",
            "RESTORE.md",
            "manifest.json",
        ],
        &[],
    );
    assert_eq!(anew.findings, [""; 0]);
    assert_eq!((anew.files, anew.bytes), (good.files, good.bytes));
    assert_eq!(packed(&["."], &[]).findings, [""; 0]);

    let dump = fs::read_dir(unpacked.join("database")).unwrap().next();
    let dump = dump.unwrap().unwrap().file_name().into_string().unwrap();
    let dump = format!("database/{dump}");
    assert_eq!(
        packed(&["."], &[&dump]).findings,
        [format!("{dump} is in it more than once")]
    );
    assert_eq!(
        packed(&["."], &["manifest.json"]).findings,
        ["manifest.json is in it more than once"]
    );
    // It lies where another would be unpacked to.
    fs::create_dir_all(unpacked.join("files/database")).unwrap();
    fs::copy(unpacked.join(&dump), unpacked.join("files").join(&dump)).unwrap();
    fs::write(unpacked.join("files/extra"), "extra").unwrap();
    let mut extra = packed(&["."], &[]).findings;
    extra.sort();
    let mut expected = [format!("files/{dump}"), "files/extra".to_owned()];
    expected.sort();
    assert_eq!(
        extra,
        expected.map(|name| format!("{name} is not in the manifest"))
    );
    fs::remove_dir_all(unpacked.join("files/database")).unwrap();
    fs::remove_file(unpacked.join("files/extra")).unwrap();

    fs::remove_file(unpacked.join(&dump)).unwrap();
    let without = packed(&["files", "manifest.json", "RESTORE.md", "SHA256SUMS"], &[]);
    assert_eq!(without.findings, [format!("{dump} is missing")]);
}
