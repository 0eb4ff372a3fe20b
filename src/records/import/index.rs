//! What is known of the rows of an import while they lie in the spool: some 70 bytes each, and what they refer to.

use std::ops::Range;

use super::names::{Id, Names};
use crate::{
    domain::document::{Key, Version, key::Named, row::Row},
    error::{Error, Result},
    store::{Spelling, VersionOf},
};

/// Rows that are looked at, and written, together.
pub(super) const BATCH: usize = 512;
/// What rows and the documents they lead to may depend on in all.
pub(super) const EDGES_MAX: usize = 10_000_000;

/// A row's place among the rows.
pub(super) type Place = u32;

/// A row that is about a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) line: i64,
    pub(super) number: Id,
    pub(super) version: Version,
    pub(super) supersedes: Over,
    pub(super) state: State,
    edges_from: u32,
    edges: u8,
    /// Whether it lies in the spool; else it was found bad as it came.
    pub(super) is_spooled: bool,
    /// Whether its content must be looked for, or its dates are in doubt.
    pub(super) needs_look: bool,
    pub(super) is_in_force: bool,
    pub(super) is_final: bool,
}

/// What a row supersedes: as it says, then as it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    NewestLower,
    Newest(Id),
    Version(Id, Version),
    Nothing,
    Registered(Id, Version),
    Row(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    /// Its document is in the register: it was, or it has been written.
    Kept,
    /// Bad, and that has been told.
    Told,
    Bad(Flaw),
}

/// What is wrong with a row beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Duplicate(Place),
    AlsoInForce(Place),
    InForceAlready(Version),
    SupersedesUnknown,
    SupersedesNoLower,
    SupersedesBad(Place),
    SupersedesInCircle,
    DependsOnUnknown(Id),
    DependsOnBad(Id),
    DependsInCircle,
}

/// A version that the register has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Registered {
    pub(super) number: Id,
    pub(super) version: Version,
    pub(super) is_in_force: bool,
}

/// Rows that come one after another.
#[derive(Debug)]
struct Batch {
    /// Where they begin in the spool.
    from: u64,
    rows: Vec<Entry>,
}

/// All rows of an import that are about a document.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) names: Names,
    /// All but the last one full. One long list would be moved, and be twice as long for a moment, whenever it grows.
    batches: Vec<Batch>,
    /// The numbers on which rows depend, one row after another.
    edges: Vec<Id>,
    /// Where the last row ends in the spool.
    spooled_upto: u64,
    /// Rows by number, version, and place.
    by_key: Vec<Place>,
    registered: Vec<Registered>,
}

impl Index {
    /// Adds a row that was found bad as it came: others may refer to it.
    pub(super) fn add_bad(&mut self, line: i64, key: &Key, spooled_upto: u64) {
        let entry = Entry {
            line,
            number: self.names.id(key.number.as_str()),
            version: key.version,
            supersedes: Over::Nothing,
            state: State::Told,
            edges_from: self.edges.len() as u32,
            edges: 0,
            is_spooled: false,
            needs_look: false,
            is_in_force: false,
            is_final: false,
        };
        self.add_entry(entry, spooled_upto);
    }

    /// Adds a row that is sound by itself, and is spooled next.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where they depend on too many in all.
    pub(super) fn add(&mut self, row: &Row, needs_look: bool, spooled_upto: u64) -> Result<()> {
        if EDGES_MAX < self.edges.len() + row.depends_on.len() {
            return Err(too_many_edges());
        }
        let supersedes = match &row.supersedes {
            None => Over::NewestLower,
            Some(Named { number, version }) => {
                let number = self.names.id(number.as_str());
                version.map_or(Over::Newest(number), |version| {
                    Over::Version(number, version)
                })
            }
        };
        let entry = Entry {
            line: row.line,
            number: self.names.id(row.key.number.as_str()),
            version: row.key.version,
            supersedes,
            state: State::New,
            edges_from: self.edges.len() as u32,
            edges: row.depends_on.len() as u8,
            is_spooled: true,
            needs_look,
            is_in_force: row.status.is_in_force(),
            is_final: row.status.is_final(),
        };
        for number in &row.depends_on {
            let id = self.names.id(number.as_str());
            self.edges.push(id);
        }
        self.add_entry(entry, spooled_upto);
        Ok(())
    }

    fn add_entry(&mut self, entry: Entry, spooled_upto: u64) {
        match self.batches.last_mut() {
            Some(batch) if batch.rows.len() < BATCH => batch.rows.push(entry),
            _ => {
                let mut rows = Vec::with_capacity(BATCH);
                rows.push(entry);
                self.batches.push(Batch {
                    from: spooled_upto,
                    rows,
                });
            }
        }
    }

    /// Once all rows have come: where the last one ends.
    pub(super) fn end_at(&mut self, spooled_upto: u64) {
        self.spooled_upto = spooled_upto;
    }

    /// Once it is known which numbers are one: what is the same document as another is bad.
    pub(super) fn sort(&mut self) {
        let mut by_key: Vec<Place> = (0..self.len()).collect();
        by_key.sort_unstable_by_key(|place| {
            let entry = self.entry(*place);
            (entry.number, entry.version, *place)
        });
        for pair in by_key.windows(2) {
            let (before, place) = (self.entry(pair[0]), self.entry(pair[1]));
            if (before.number, before.version) == (place.number, place.version) {
                let first = match before.state {
                    State::Bad(Flaw::Duplicate(first)) => first,
                    _ => pair[0],
                };
                self.refuse(pair[1], Flaw::Duplicate(first));
            }
        }
        self.by_key = by_key;
    }

    /// Takes note of what the register has of some of the numbers that are named, and how it spells them.
    pub(super) fn register(&mut self, spellings: &[Spelling], versions: Vec<VersionOf>) {
        for known in spellings {
            self.names.spelt(&known.spelling, known.is_twin());
        }
        let known = versions.into_iter().filter_map(|version| {
            Some(Registered {
                number: self.names.find(&version.number)?,
                version: version.version(),
                is_in_force: version.in_force,
            })
        });
        self.registered.extend(known);
    }

    /// Once all is known that the register has. Of a number that rows spell in several ways it was found as often.
    pub(super) fn sort_registered(&mut self) {
        self.registered.sort_unstable();
        self.registered.dedup();
    }

    /// Makes numbers that differ in case alone one, in all that is known of the rows.
    pub(super) fn spell(&mut self) {
        if !self.names.unite() {
            return;
        }
        let names = &self.names;
        for entry in self.batches.iter_mut().flat_map(|batch| &mut batch.rows) {
            entry.number = names.one(entry.number);
            entry.supersedes = match entry.supersedes {
                Over::Newest(number) => Over::Newest(names.one(number)),
                Over::Version(number, version) => Over::Version(names.one(number), version),
                other => other,
            };
        }
        for number in &mut self.edges {
            *number = names.one(*number);
        }
    }

    pub(super) fn batch_count(&self) -> usize {
        self.batches.len()
    }

    /// The rows of a batch with their places, and where they lie in the spool.
    pub(super) fn batch(
        &self,
        batch: usize,
    ) -> (impl Iterator<Item = (Place, &Entry)>, Range<u64>) {
        let end = self.batches.get(batch + 1);
        let upto = end.map_or(self.spooled_upto, |next| next.from);
        let Batch { from, rows } = &self.batches[batch];
        let first = (batch * BATCH) as Place;
        ((first..).zip(rows), *from..upto)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> Place {
        let last = self.batches.last().map_or(0, |batch| batch.rows.len());
        (self.batches.len().saturating_sub(1) * BATCH + last) as Place
    }

    pub(super) fn entry(&self, place: Place) -> Entry {
        let place = place as usize;
        self.batches[place / BATCH].rows[place % BATCH]
    }

    pub(super) fn entry_mut(&mut self, place: Place) -> &mut Entry {
        let place = place as usize;
        &mut self.batches[place / BATCH].rows[place % BATCH]
    }

    /// All rows, with their places.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Place, &Entry)> {
        (0..).zip(self.batches.iter().flat_map(|batch| &batch.rows))
    }

    pub(super) fn is_new(&self, place: Place) -> bool {
        self.entry(place).state == State::New
    }

    /// The rows that are to become documents.
    pub(super) fn new_rows(&self) -> impl Iterator<Item = (Place, Entry)> {
        self.rows()
            .filter(|(_, entry)| entry.state == State::New)
            .map(|(place, entry)| (place, *entry))
    }

    /// Finds a row bad, unless something has become of it already. Says whether it was news.
    pub(super) fn refuse(&mut self, place: Place, flaw: Flaw) -> bool {
        let state = &mut self.entry_mut(place).state;
        let news = *state == State::New;
        if news {
            *state = State::Bad(flaw);
        }
        news
    }

    /// On which numbers a row depends.
    pub(super) fn depends_on(&self, entry: &Entry) -> &[Id] {
        let from = entry.edges_from as usize;
        &self.edges[from..from + usize::from(entry.edges)]
    }

    /// All rows, by number and version.
    pub(super) fn by_key(&self) -> &[Place] {
        &self.by_key
    }

    /// The rows of a number, by version.
    pub(super) fn rows_of(&self, number: Id) -> &[Place] {
        let number_of = |place: &Place| self.entry(*place).number;
        let from = self
            .by_key
            .partition_point(|place| number_of(place) < number);
        let count = self.by_key[from..].partition_point(|place| number_of(place) == number);
        &self.by_key[from..from + count]
    }

    /// What the register has of a number, by version.
    pub(super) fn registered(&self, number: Id) -> &[Registered] {
        let from = self
            .registered
            .partition_point(|known| known.number < number);
        let count = self.registered[from..].partition_point(|known| known.number == number);
        &self.registered[from..from + count]
    }

    pub(super) fn is_registered(&self, number: Id) -> bool {
        !self.registered(number).is_empty()
    }

    pub(super) fn has_registered(&self, number: Id, version: Version) -> bool {
        let versions = self.registered(number);
        versions
            .binary_search_by_key(&version, |known| known.version)
            .is_ok()
    }

    /// `SOP-1@1.0`.
    pub(super) fn key(&self, number: Id, version: Version) -> String {
        format!("{}@{version}", self.names.get(number))
    }

    pub(super) fn key_of(&self, place: Place) -> String {
        let entry = self.entry(place);
        self.key(entry.number, entry.version)
    }
}

pub(super) fn too_many_edges() -> Error {
    let message = format!(
        "more than {EDGES_MAX} dependences to follow: bring the rows in by several imports, what others depend on \
         first"
    );
    Error::Exhausted(message)
}
