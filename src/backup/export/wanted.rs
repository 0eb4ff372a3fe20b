//! Members of an export that are to come: what its manifest says of each, in whatever order they do.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use super::{
    member, path_of,
    read::{TOLD, Verified, shown},
};
use crate::{
    backup::manifests::{Beside, Files, Stored},
    domain::backup::{
        manifest::{FileRecord, SnapshotPath},
        table::in_order_of_a_walk,
    },
};

/// Members that are to come. They are written in the order of the manifest, so that nothing is kept of most; who has packed
/// them anew may have done so in another.
pub(super) struct Wanted {
    stored: Stored,
    files: Beside<Files>,
    /// Records that others came before.
    passed: HashMap<SnapshotPath, FileRecord>,
    /// Path before which all was met or passed.
    furthest: SnapshotPath,
    /// Members that it was no record's turn for, in the order in which they came.
    strays: Vec<Vec<u8>>,
    /// Further names of files.
    names: Vec<Named>,
}

/// A further name of a file.
struct Named {
    record: FileRecord,
    /// The path of the file whose name it is.
    target: SnapshotPath,
    /// Whether that came before it: else nothing that unpacks them can make it.
    came_before: bool,
}

impl Wanted {
    pub(super) fn of(stored: Stored) -> anyhow::Result<Self> {
        Ok(Self {
            files: Beside::new(stored.files()?),
            stored,
            passed: HashMap::new(),
            furthest: SnapshotPath(Vec::new()),
            strays: Vec::new(),
            names: Vec::new(),
        })
    }

    /// Answers what the manifest says of a member, once.
    pub(super) fn meet(&mut self, name: &[u8]) -> anyhow::Result<Option<FileRecord>> {
        let path = path_of(name);
        // Two names may be of one path, of which one is where it lies.
        if member(&path) != name {
            self.stray(name);
            return Ok(None);
        }
        let passed = &mut self.passed;
        let met = self.files.meet(&path, |record| {
            passed.insert(record.path.clone(), record.clone());
        })?;
        let met = met.or_else(|| self.passed.remove(&path));
        if met.is_none() {
            self.stray(name);
        }
        if is_before(&self.furthest, &path) {
            self.furthest = path;
        }
        Ok(met)
    }

    /// Meets a member that is a further name of what lies elsewhere in the archive.
    pub(super) fn meet_name(&mut self, name: &[u8], target: &[u8]) -> anyhow::Result<()> {
        let Some(record) = self.meet(name)? else {
            return Ok(());
        };
        let target = path_of(target);
        let was_met = !is_before(&self.furthest, &target) && !self.passed.contains_key(&target);
        self.names.push(Named {
            came_before: was_met && target != record.path,
            record,
            target,
        });
        Ok(())
    }

    fn stray(&mut self, name: &[u8]) {
        if self.strays.len() < TOLD {
            self.strays.push(name.to_vec());
        }
    }

    /// Tells of what did not come, of what should not have come, and of names of something else.
    pub(super) fn end(mut self, verified: &mut Verified) -> anyhow::Result<()> {
        let mut missing: Vec<_> = self.passed.into_values().collect();
        missing
            .sort_by(|one, other| in_order_of_a_walk(one.path.as_bytes(), other.path.as_bytes()));
        for record in &missing {
            verified.find_missing(record);
        }
        self.files
            .rest(|record: &FileRecord| verified.find_missing(record))?;
        let strays = self.strays.iter().map(|name| path_of(name));
        let strays: HashSet<SnapshotPath> = strays.collect();
        let targets: HashSet<&SnapshotPath> =
            self.names.iter().map(|named| &named.target).collect();
        if targets.is_empty() && strays.is_empty() {
            return Ok(());
        }
        let (mut found, mut twice) = (HashMap::new(), HashSet::new());
        for file in self.stored.files()? {
            let file = file?;
            if strays.contains(&file.path) {
                twice.insert(member(&file.path));
            }
            if targets.contains(&file.path) {
                found.insert(file.path, (file.size, file.sha256));
            }
        }
        for name in &self.strays {
            let shown = shown(name);
            verified.find(match twice.contains(name) {
                true => format!("{shown} is in it more than once"),
                false => format!("{shown} is not in the manifest"),
            });
        }
        for named in &self.names {
            verified.find_wrong_name(named, found.get(&named.target));
        }
        Ok(())
    }
}

impl Verified {
    fn find_missing(&mut self, record: &FileRecord) {
        self.find(format!("{} is missing", shown(&member(&record.path))));
    }

    fn find_wrong_name(&mut self, named: &Named, target: Option<&(u64, String)>) {
        let (record, name) = (&named.record, shown(&member(&named.record.path)));
        match target.filter(|_| named.came_before) {
            None => self.find(format!(
                "{name} is a further name of what did not come before it"
            )),
            Some((size, sha256)) if (*size, sha256) != (record.size, &record.sha256) => {
                self.find(format!(
                    "{name} is another name of a file with another content"
                ));
            }
            Some(_) => {}
        }
    }
}

fn is_before(one: &SnapshotPath, other: &SnapshotPath) -> bool {
    in_order_of_a_walk(one.as_bytes(), other.as_bytes()) == Ordering::Less
}
