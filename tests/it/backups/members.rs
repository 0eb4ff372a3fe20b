//! What is in an export besides plain files: holes, fifos and devices; and what cannot be.

use std::{
    fs::{self, File},
    os::unix::{
        fs::{FileExt as _, FileTypeExt as _, MetadataExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::mkfifo,
};
use rustix::fs::{XattrFlags, lsetxattr};
use watchbell::backup::export::{Verified, verify};
use watchbell_client::pb;

use super::{
    exports::{finished, tar},
    likeness::{restored_at, source},
    vault::Vault,
};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both, skip},
};

on_both!(
    files_come_out_of_an_export_with_their_holes,
    attributes_that_look_like_records_are_none,
    fifos_and_devices_are_in_an_export_and_sockets_are_told,
);

const MEGABYTE: u64 = 1 << 20;

/// Where a file has data, and how much.
type Data<'a> = &'a [(u64, usize)];

/// Makes a file of this size with data at these places, and nothing between.
fn make(path: &Path, size: u64, data: Data<'_>) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (number, (at, length)) in data.iter().enumerate() {
        file.write_all_at(&bytes(*length, 1 + (number % 200) as u8), *at)
            .unwrap();
    }
}

/// Backs a folder up, exports it, and says where the export is, and its run.
async fn exported(database: Database, folder: &Path) -> (Site, PathBuf, String, String) {
    let site = Site::configured(database, &source("all", folder)).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("all", &["all"]).await;
    for policy in ["all", "weekly-export"] {
        let run = vault.back_up(policy).await;
        assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    }
    let point = vault.newest_of(pb::BackupKind::Export).await;
    let file = site.data().join("backups/exports").join(&point.file);
    let log = vault.log(&point.run).await;
    // It is of the point that the export was made of.
    let full = vault.newest_of(pb::BackupKind::Full).await;
    let (_, evidence) = vault.point(&full.name).await;
    let said = evidence.iter().map(|one| one.message.as_str());
    let said = said.collect::<Vec<_>>().join("\n");
    server.stop().await;
    (site, file, log, said)
}

fn unpacked(export: &Path) -> tempfile::TempDir {
    let into = tempfile::tempdir().unwrap();
    tar(&["--zstd", "-xpf"], export, into.path(), &[]);
    into
}

/// Bytes that a file takes on its disk.
fn room(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

/// Verifies an export of which some bytes are others.
fn verified_with(export: &Path, was: &str, is: &str) -> Verified {
    assert_eq!(was.len(), is.len());
    let mut all = zstd::decode_all(File::open(export).unwrap()).unwrap();
    let at = all
        .windows(was.len())
        .position(|some| some == was.as_bytes());
    let at = at.unwrap();
    all[at..at + is.len()].copy_from_slice(is.as_bytes());
    let place = tempfile::tempdir().unwrap();
    let plain = place.path().join("other.tar");
    fs::write(&plain, all).unwrap();
    verify(&finished(&plain)).unwrap()
}

async fn files_come_out_of_an_export_with_their_holes(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let many: Vec<_> = (0..300).map(|number| (number * 65_536, 4096)).collect();
    let long = "x".repeat(200);
    let large = [(MEGABYTE, 12 << 20), (20 * MEGABYTE + 4096, 5000)];
    let sparse: [(&str, u64, Data<'_>); 7] = [
        ("begins", 8 * MEGABYTE, &[(8_380_416, 8192)]),
        ("ends", 4 * MEGABYTE, &[(0, 10_000)]),
        ("empty", 4 * MEGABYTE + 1, &[]),
        ("many", 300 * 65_536, &many),
        // More than is kept of a file, so that it is read twice.
        ("large", 40 * MEGABYTE, &large),
        (&long, 2 * MEGABYTE, &[(123_456, 1)]),
        ("odd", MEGABYTE + 77, &[(MEGABYTE, 77)]),
    ];
    for (name, size, data) in sparse {
        make(&at(name), size, data);
    }
    let plain = ["nothing", "plain", "line\nend"];
    make(&at("nothing"), 0, &[]);
    make(&at("plain"), MEGABYTE, &[(0, 1 << 20)]);
    make(&at("line\nend"), MEGABYTE, &[(0, 1)]);
    fs::hard_link(at("many"), at("many again")).unwrap();

    let (_site, export, _, _) = exported(database, folder.path()).await;

    let verified = verify(&export).unwrap();
    assert_eq!(verified.findings, [""; 0]);
    let back = unpacked(&export);
    let back_at = restored_at(&back.path().join("files"), "all", folder.path());
    let names = sparse.iter().map(|(name, ..)| *name);
    for name in names.clone().chain(plain).chain(["many again"]) {
        let (is, was) = (back_at.join(name), at(name));
        assert!(fs::read(&is).unwrap() == fs::read(&was).unwrap(), "{name}");
    }
    for name in names.clone() {
        let (is, was) = (room(&back_at.join(name)), room(&at(name)));
        assert!(is <= was + 65_536, "{name}: {is} bytes, and were {was}");
    }
    let inode = |name: &str| back_at.join(name).metadata().unwrap().ino();
    assert_eq!(inode("many"), inode("many again"));
    let guide = fs::read_to_string(back.path().join("RESTORE.md")).unwrap();
    assert!(guide.contains("GNUSparseFile.0"), "{guide}");
    // What takes no room takes none in the archive.
    let whole = zstd::decode_all(File::open(&export).unwrap()).unwrap();
    assert!(whole.len() < 18 << 20, "{}", whole.len());

    let anew = tempfile::tempdir().unwrap();
    let plain = anew.path().join("anew.tar");
    for format in ["gnu", "pax"] {
        let format = format!("--format={format}");
        tar(&["--sparse", &format, "-cf"], &plain, back.path(), &["."]);
        let anew = verify(&finished(&plain)).unwrap();
        assert_eq!(anew.findings, [""; 0], "{format}");
        assert_eq!((anew.files, anew.bytes), (verified.files, verified.bytes));
    }

    let map = "1\n8380416\n8192\n";
    let damaged = verified_with(&export, map, "1\n8380417\n8192\n").findings;
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert!(
        damaged[0].contains("/begins: the map of its holes"),
        "{damaged:?}"
    );
    // It is a map, and not that of the file.
    let damaged = verified_with(&export, map, "1\n4380416\n8192\n").findings;
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert!(
        damaged[0].contains("/begins has the SHA-256"),
        "{damaged:?}"
    );
}

/// Whoever owns a file writes its attributes as he likes.
async fn attributes_that_look_like_records_are_none(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let value = b"\n22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=x\n\
                  25 GNU.sparse.realsize=1\n13 path=abcd\n";
    let long = "x".repeat(200);
    let mut is_set = true;
    for name in ["plain", "sparse", &long] {
        let at = folder.path().join(name);
        let size = if name == "sparse" { 4 * MEGABYTE } else { 10 };
        make(&at, size, &[(0, 10)]);
        is_set &= lsetxattr(&at, "user.note", value, XattrFlags::empty()).is_ok();
    }
    if !is_set {
        return skip("attributes in an export", "the disk has none");
    }

    let (_site, export, _, _) = exported(database, folder.path()).await;

    assert_eq!(verify(&export).unwrap().findings, [""; 0]);
    let back = unpacked(&export);
    let back_at = restored_at(&back.path().join("files"), "all", folder.path());
    for name in ["plain", "sparse", &long] {
        let (is, was) = (back_at.join(name), folder.path().join(name));
        assert!(fs::read(&is).unwrap() == fs::read(&was).unwrap(), "{name}");
    }
}

async fn fifos_and_devices_are_in_an_export_and_sockets_are_told(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "content").unwrap();
    mkfifo(&at("fifo"), Mode::from_bits_truncate(0o640)).unwrap();
    let _sockets = ["one", "two"].map(|name| UnixListener::bind(at(name)).unwrap());
    let mode = Mode::from_bits_truncate(0o600);
    // Root alone may, and not everywhere.
    let devices = [
        ("null", SFlag::S_IFCHR, 1, 3),
        ("loop", SFlag::S_IFBLK, 7, 259),
    ];
    let made = devices.map(|(name, kind, major, minor)| {
        mknod(&at(name), kind, mode, makedev(major, minor)).is_ok()
    });

    let (_site, export, log, evidence) = exported(database, folder.path()).await;

    let verified = verify(&export).unwrap();
    assert_eq!(verified.findings, [""; 0]);
    let back = unpacked(&export);
    let back_at = restored_at(&back.path().join("files"), "all", folder.path());
    let fifo = back_at.join("fifo").symlink_metadata().unwrap();
    assert!(fifo.file_type().is_fifo(), "{fifo:?}");
    assert_eq!(fifo.mode() & 0o777, 0o640);
    for ((name, ..), _) in devices.iter().zip(made).filter(|(_, made)| *made) {
        let is = back_at.join(name).symlink_metadata().unwrap();
        let was = at(name).symlink_metadata().unwrap();
        assert_eq!((is.mode(), is.rdev()), (was.mode(), was.rdev()), "{name}");
    }
    let guide = fs::read_to_string(back.path().join("RESTORE.md")).unwrap();
    let left_out = guide.split("## Left out").nth(1).unwrap();
    assert!(left_out.contains("2 sockets"), "{left_out}");
    for name in ["one", "two"] {
        assert!(!back_at.join(name).exists());
        let named = format!("{}`", at(name).display());
        assert!(left_out.contains(&named), "{left_out}");
    }
    for said in [&log, &evidence] {
        let told = said
            .matches("and 1 more: left out, as no archive holds sockets")
            .count();
        assert_eq!(told, 1, "{said}");
    }
}
