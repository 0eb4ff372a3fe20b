//! Includes and excludes.

use watchbell::backup::repository::Source;

use super::stage::{Stage, entries, job, source};

fn stored(stage: &Stage, include: &[&str], exclude: &[&str]) -> Vec<String> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let source = Source {
        include: owned(include),
        exclude: owned(exclude),
        ..source(stage.source(), "/files")
    };
    let archived = stage.archive_with(job(vec![source])).unwrap();
    let found = entries(&*stage.reader(&archived.snapshot));
    let relative = |path: &String| path.trim_start_matches("/files").to_owned();
    found
        .iter()
        .skip(1)
        .map(|(path, _)| relative(path))
        .collect()
}

#[test]
fn what_is_included_is_stored_with_the_folders_it_is_in() {
    let stage = Stage::new();
    for name in [
        "a/one.txt",
        "a/two.log",
        "b/deep/er/three.txt",
        "b/four.log",
        "c/five",
    ] {
        stage.write(name, name);
    }
    assert_eq!(
        stored(&stage, &["a"], &[]),
        ["/a", "/a/one.txt", "/a/two.log"]
    );
    assert_eq!(
        stored(&stage, &["**/*.txt"], &[]),
        [
            "/a",
            "/a/one.txt",
            "/b",
            "/b/deep",
            "/b/deep/er",
            "/b/deep/er/three.txt"
        ]
    );
    assert_eq!(stored(&stage, &["b/*.log"], &[]), ["/b", "/b/four.log"]);
    assert_eq!(stored(&stage, &["none"], &[]), [""; 0]);
    // A pattern without a slash is of names at every depth, as with restic and git.
    assert_eq!(
        stored(&stage, &["*.txt"], &[]),
        stored(&stage, &["**/*.txt"], &[])
    );
    assert_eq!(
        stored(&stage, &[], &["*.log", "deep/"]),
        ["/a", "/a/one.txt", "/b", "/c", "/c/five"]
    );
    assert_eq!(
        stored(&stage, &[], &["*.log", "!four.log", "/c", "deep"]),
        ["/a", "/a/one.txt", "/b", "/b/four.log"]
    );
    assert_eq!(
        stored(&stage, &[], &["b", "**/*.log"]),
        ["/a", "/a/one.txt", "/c", "/c/five"]
    );
    assert_eq!(
        stored(&stage, &["a", "b"], &["**/deep", "a/*.txt"]),
        ["/a", "/a/two.log", "/b", "/b/four.log"]
    );
    stage.is_sound();
}

#[test]
fn what_no_include_can_reach_is_not_entered() {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
    let stage = Stage::here();
    stage.write("wanted/file", "content");
    stage.write("locked/file", "content");
    let none = Permissions::from_mode(0o000);
    std::fs::set_permissions(stage.source().join("locked"), none).unwrap();
    let archived = super::nobody::as_nobody(stage.path(), || {
        let source = Source {
            include: vec!["wanted/**".to_owned()],
            ..source(stage.source(), "/files")
        };
        stage.archive_with(job(vec![source])).unwrap()
    });
    assert_eq!(archived.errors, []);
    assert_eq!(archived.files.len(), 1);
}
