//! What a snapshot says of its entries besides their content: what the disk says, and restic brings back.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};

use super::stage::{Stage, recorded};

/// Sets one, where the disk has such.
fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    lsetxattr(path, name, value, XattrFlags::empty()).is_ok()
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 70_000];
    let count = lgetxattr(path, name, &mut buffer[..]).ok()?;
    buffer.truncate(count);
    Some(buffer)
}

/// `user::rw-, user:65534:r--, group::r--, mask::r--, other::---` in the kernel's form.
fn access_list() -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (0x01_u16, 6_u16, u32::MAX),
        (0x02, 4, 65534),
        (0x04, 4, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ] {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&permissions.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    list
}

#[test]
fn extended_attributes_access_lists_and_capabilities_come_back() {
    let stage = Stage::new();
    stage.write("folder/file", "content");
    stage.write("plain", "content");
    let long = vec![7; 3000];
    // cap_net_bind_service=ep
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let wanted = [
        ("folder/file", "user.note", b"\x00\xff odd".to_vec()),
        ("folder/file", "user.empty", Vec::new()),
        ("folder/file", "user.long", long),
        ("folder", "user.folder", b"of a folder".to_vec()),
        ("folder/file", "system.posix_acl_access", access_list()),
        ("folder", "system.posix_acl_default", access_list()),
        ("plain", "security.capability", capability.to_vec()),
    ];
    let there: Vec<_> = wanted
        .iter()
        .filter(|(name, attribute, value)| set(&stage.source().join(name), attribute, value))
        .collect();
    let archived = stage.archive();
    assert_eq!(archived.errors, []);
    let Some(restic) = stage.restic() else { return };
    restic.finds_it_sound();
    let restored = restic.restore(&archived.snapshot.0);
    for (name, attribute, value) in there {
        let path = restored.path().join("files").join(name);
        assert_eq!(
            get(&path, attribute).as_ref(),
            Some(value),
            "{name} {attribute}"
        );
    }
}

#[test]
fn times_before_1970_modes_and_names_of_one_file_come_back() {
    let stage = Stage::new();
    stage.write("old", "content");
    stage.write("one", "content");
    fs::hard_link(stage.source().join("one"), stage.source().join("other")).unwrap();
    fs::set_permissions(stage.source().join("one"), Permissions::from_mode(0o6755)).unwrap();
    let old = SystemTime::UNIX_EPOCH - Duration::from_millis(86_400_500);
    let file = File::options().write(true).open(stage.source().join("old"));
    file.unwrap().set_modified(old).unwrap();
    let archived = stage.archive();
    assert_eq!(archived.errors, []);
    let stored = recorded(&archived)
        .into_iter()
        .find(|file| file.path.to_string() == "/files/old");
    assert_eq!(stored.unwrap().mtime, -86_400_500_000_000);
    let again = stage.archive_after(&archived);
    assert_eq!(again.unchanged_files, 3);
    let Some(restic) = stage.restic() else { return };
    restic.finds_it_sound();
    let restored = restic.restore(&again.snapshot.0);
    let at = |name: &str| fs::metadata(restored.path().join("files").join(name)).unwrap();
    assert_eq!(at("old").modified().unwrap(), old);
    assert_eq!(at("one").ino(), at("other").ino(), "they are one file");
    assert_eq!(at("one").mode() & 0o7777, 0o6755);
}
