//! Manifests that are whole, cut off, out of order, and of the older format.

use std::io::{self, Write as _};

use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    backup::{
        read_back::hash_of,
        repository::{self, Entry, EntryKind, Met},
        work::is_damage,
    },
    domain::backup::manifest::{MANIFEST_FORMAT, SourceRecord},
};

/// A manifest of content alone.
pub(in crate::backup) fn manifest() -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        point: uuid::Uuid::nil(),
        policy: "daily".to_owned(),
        run: "tasks/backup-daily/runs/1".to_owned(),
        attempt: 1,
        cluster: String::new(),
        version: String::new(),
        frozen_at: Timestamp::UNIX_EPOCH,
        snapshot: String::new(),
        sources: vec![SourceRecord {
            name: "content".to_owned(),
            kind: "content".to_owned(),
            root: "/content".into(),
            files: 0,
            bytes: 0,
            dump: None,
            rules: String::new(),
            empty: Vec::new(),
            skipped: false,
        }],
        errors: Vec::new(),
        losses: Vec::new(),
    }
}

fn table(records: &[FileRecord]) -> Table {
    let mut table = Table::default();
    for record in records {
        assert!(table.add_record(record));
    }
    table.sort();
    table
}

fn lines_of(table: &Table) -> Vec<u8> {
    let manifest = manifest();
    let lines = Written::new(&manifest, table.records().map(Ok));
    lines.flat_map(|line| line.unwrap()).collect()
}

fn open(bytes: &[u8]) -> Result<Stored, Fault> {
    Stored::of(Spool::Memory(bytes.to_vec()), String::new())
}

/// A manifest of these files, as it comes from a repository.
pub(in crate::backup) fn stored(records: &[FileRecord]) -> Stored {
    open(&lines_of(&table(records))).unwrap()
}

fn file(path: &str, size: u64) -> FileRecord {
    FileRecord {
        path: path.into(),
        size,
        mtime: -1,
        sha256: "ab".repeat(32),
    }
}

fn some() -> Vec<FileRecord> {
    vec![file("/a.txt", 1), file("/a/\u{e9}\n", 20), file("/b", 300)]
}

fn paths(stored: &Stored) -> Vec<String> {
    let files = stored.files().unwrap();
    files.map(|file| file.unwrap().path.to_text()).collect()
}

fn old() -> String {
    let mut old = serde_json::to_value(manifest()).unwrap();
    old["format"] = json!(1);
    old["files"] = json!(some());
    // As it was written: the format first, and the files last.
    let fields = old.as_object().unwrap();
    let field = |name: &str| format!("{name:?}:{}", fields[name]);
    let others = fields
        .keys()
        .filter(|name| !matches!(name.as_str(), "format" | "files"));
    let mut all = vec![field("format")];
    all.extend(others.map(|name| field(name)));
    all.push(field("files"));
    format!("{{{}}}", all.join(","))
}

#[test]
fn what_was_written_is_read_back_from_memory_and_from_a_file() {
    let bytes = lines_of(&table(&some()));
    let folder = tempfile::tempdir().unwrap();
    let mut file = spool::without_name(folder.path()).unwrap();
    file.write_all(&bytes).unwrap();
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    let on_disk = Stored::of(Spool::File(file), String::new()).unwrap();
    for stored in [open(&bytes).unwrap(), on_disk] {
        assert_eq!(stored.manifest, manifest());
        let has = (stored.totals.files, stored.totals.bytes);
        assert_eq!(has, (3, 321));
        for _ in 0..2 {
            assert_eq!(paths(&stored), ["/a/\u{e9}\\x0a", "/a.txt", "/b"]);
        }
        let found = stored.find(&"/b".into()).unwrap();
        assert_eq!(found, Some(self::file("/b", 300)));
        assert_eq!(stored.find(&"/c".into()).unwrap(), None);
        assert_eq!(stored.count(&["/a".into()]).unwrap().bytes, 21);
        assert_eq!(stored.count(&[]).unwrap(), stored.totals);
    }
}

/// A snapshot of one file, which has these bytes.
struct One(Vec<u8>);

impl SnapshotReader for One {
    fn walk(&self, _each: &mut dyn FnMut(Met) -> repository::Result<()>) -> repository::Result<()> {
        Ok(())
    }

    fn entry(&self, path: &SnapshotPath) -> repository::Result<Option<Entry>> {
        Ok(Some(Entry {
            path: path.clone(),
            kind: EntryKind::File,
            size: self.0.len() as u64,
            mtime: 0,
            mode: 0o600,
            owner: None,
            shared: None,
            attributes: Vec::new(),
        }))
    }

    fn children(
        &self,
        _path: &SnapshotPath,
        _after: Option<&[u8]>,
        _most: usize,
    ) -> repository::Result<Option<Vec<Entry>>> {
        Ok(None)
    }

    fn read(
        &self,
        _file: &Entry,
        into: &mut dyn io::Write,
        _cancel: &CancellationToken,
    ) -> repository::Result<()> {
        for piece in self.0.chunks(300_000) {
            into.write_all(piece)
                .map_err(|error| RepositoryError::Other {
                    what: "could not write".to_owned(),
                    source: Some(Box::new(error)),
                })?;
        }
        Ok(())
    }
}

#[test]
fn a_large_one_lies_in_a_file_and_where_none_can_be_made_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("file");
    std::fs::write(&in_the_way, "x").unwrap();
    let files: Vec<FileRecord> = (0..9000)
        .map(|number| file(&format!("/content/{number:060}"), number))
        .collect();
    let large = One(lines_of(&table(&files)));
    let small = One(lines_of(&table(&some())));
    let id = SnapshotId("ab".repeat(32));
    let opened = |of: &One, beside: Option<&Path>| manifest_by(of, &id, beside).unwrap();
    let is_on_disk = |stored: &Stored| match &stored.kept {
        Kept::Lines(spool) => matches!(**spool, Spool::File(_)),
        Kept::Table(_) => panic!("it is of the present format"),
    };
    let place = folder.path().join("made");
    for (of, beside, on_disk) in [
        (&large, Some(place.as_path()), true),
        (&large, Some(in_the_way.as_path()), false),
        (&large, None, false),
        (&small, Some(place.as_path()), false),
    ] {
        let stored = opened(of, beside);
        assert_eq!(is_on_disk(&stored), on_disk);
        assert_eq!(stored.sha256, hash_of(&of.0));
        assert_eq!(paths(&stored).len() as u64, stored.totals.files);
    }
    assert_eq!(opened(&large, Some(&place)).totals.files, 9000);
    // What is cut off in the repository is damage of its point.
    let cut = One(large.0[..large.0.len() / 2].to_vec());
    let error = manifest_by(&cut, &id, Some(&place)).unwrap_err();
    assert!(is_damage(&error), "{error:#}");
    assert!(error.to_string().contains("cut off"), "{error:#}");
    assert_eq!(place.read_dir().unwrap().count(), 0);
}

#[test]
fn one_without_files_is_whole() {
    let none = stored(&[]);
    assert_eq!(none.totals, Totals::default());
    assert!(paths(&none).is_empty());
}

#[test]
fn one_that_is_cut_off_anywhere_is_never_one_of_fewer_files() {
    for bytes in [lines_of(&table(&some())), old().into_bytes()] {
        assert!(open(&bytes).is_ok());
        for end in 0..bytes.len() {
            let opened = open(&bytes[..end]);
            assert!(
                matches!(opened, Err(Fault::CutOff)),
                "{end} of {}: {opened:?}",
                bytes.len()
            );
        }
    }
}

#[test]
fn what_is_out_of_order_or_miscounted_or_goes_on_is_told() {
    let bytes = lines_of(&table(&some()));
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let of = |order: &[usize]| {
        let text: String = order.iter().map(|line| lines[*line]).collect();
        open(text.as_bytes()).unwrap_err()
    };
    assert!(matches!(of(&[0, 2, 1, 3, 4]), Fault::Order(_)));
    assert!(matches!(of(&[0, 1, 1, 2, 3, 4]), Fault::Order(_)));
    assert!(matches!(of(&[0, 1, 3, 4]), Fault::Counts { .. }));
    assert!(matches!(of(&[0, 1, 2, 3, 4, 4]), Fault::GoesOn));
    assert!(matches!(of(&[0, 0, 1]), Fault::Line { line: 2, .. }));
    assert!(matches!(of(&[1, 2, 3, 4]), Fault::None));
    let newer = text.replacen("{\"format\":2", "{\"format\":3", 1);
    assert!(matches!(open(newer.as_bytes()), Err(Fault::Newer(3))));
    // A size that is another, and all else as it was.
    let other = text.replace("\"size\":300", "\"size\":301");
    assert!(matches!(open(other.as_bytes()), Err(Fault::Counts { .. })));
}

#[test]
fn one_of_the_older_format_has_its_files_in_the_same_order() {
    let old = open(old().as_bytes()).unwrap();
    let new = stored(&some());
    assert_eq!(old.manifest.format, 1);
    assert_eq!(old.totals, new.totals);
    assert_eq!(paths(&old), paths(&new));
    assert_eq!(old.find(&"/b".into()).unwrap(), Some(file("/b", 300)));
    let twice = self::old().replace("/a.txt", "/b");
    assert!(matches!(open(twice.as_bytes()), Err(Fault::Order(_))));
    let without = self::old().replace("\"files\":[", "\"other\":[");
    assert!(matches!(open(without.as_bytes()), Err(Fault::CutOff)));
}

#[test]
fn records_are_met_beside_a_walk_and_those_that_are_not_are_told() {
    let stored = stored(&some());
    let mut beside = Beside::new(stored.files().unwrap());
    let mut passed = Vec::new();
    let mut meet = |path: &str| {
        let met = beside.meet(&path.into(), |record| passed.push(record.path.to_text()));
        met.unwrap().map(|record| record.path.to_text())
    };
    assert_eq!(meet("/a"), None);
    assert_eq!(meet("/a.txt"), Some("/a.txt".to_owned()));
    assert_eq!(meet("/a.txt"), None);
    beside
        .rest(|record| passed.push(record.path.to_text()))
        .unwrap();
    assert_eq!(passed, ["/a/\u{e9}\\x0a", "/b"]);
}
