//! Manifests of the format before lines: one JSON object, whose `files` are a list. They are read as they come, into a
//! table, as their order is not that of a walk.

use std::io::Read;

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::lines::Fault;
use crate::domain::backup::{
    manifest::{FileRecord, Manifest, SnapshotPath},
    table::Table,
};

/// Reads one to its end.
///
/// # Errors
/// [`Fault::CutOff`] where that is missing, and where it cannot be read.
pub(super) fn read(from: impl Read) -> Result<(Manifest, Table), Fault> {
    let mut head = Map::new();
    let mut files = None;
    let mut json = serde_json::Deserializer::from_reader(from);
    let into = Object {
        head: &mut head,
        files: &mut files,
    };
    json.deserialize_map(into)
        .and_then(|()| json.end())
        .and_then(|()| serde_json::from_value(Value::Object(head)))
        .map_err(fault)
        .and_then(|manifest| {
            let mut files = files.ok_or(Fault::CutOff)?;
            files.sort();
            refuse_twins(&files)?;
            Ok((manifest, files))
        })
}

fn fault(error: serde_json::Error) -> Fault {
    if error.is_eof() {
        return Fault::CutOff;
    }
    if error.is_io() {
        return Fault::Read(error.into());
    }
    Fault::Line {
        line: error.line() as u64,
        why: error.to_string(),
    }
}

fn refuse_twins(files: &Table) -> Result<(), Fault> {
    let behind = files.iter().skip(1);
    match files
        .iter()
        .zip(behind)
        .find(|(one, next)| one.path == next.path)
    {
        Some((twin, _)) => Err(Fault::Order(SnapshotPath(twin.path.to_vec()))),
        None => Ok(()),
    }
}

/// What the object is read into: its files, and all else.
struct Object<'a> {
    head: &'a mut Map<String, Value>,
    files: &'a mut Option<Table>,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "files" {
                let mut files = Table::default();
                map.next_value_seed(Files(&mut files))?;
                *self.files = Some(files);
            } else {
                self.head.insert(key, map.next_value()?);
            }
        }
        Ok(())
    }
}

/// The list of files, taken one by one.
struct Files<'a>(&'a mut Table);

impl<'de> DeserializeSeed<'de> for Files<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Files<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(record) = list.next_element::<FileRecord>()? {
            if !self.0.add_record(&record) {
                let what = format!("{} has no SHA-256", record.path);
                return Err(A::Error::custom(what));
            }
        }
        Ok(())
    }
}
