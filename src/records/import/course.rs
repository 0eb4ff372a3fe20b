//! What becomes of the rows of an import once all have come: they are looked up, and related to each other.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    Intake, blocking,
    circles::Circles,
    index::{BATCH, EDGES_MAX, Entry, Index, Place, State, too_many_edges},
    names::Id,
    spool::Spool,
    tell::{BadRow, Progress, Summary, bad_field},
};
use crate::{
    domain::{
        Caller,
        document::{
            Key, Number,
            row::{Reading, Row},
        },
    },
    error::{Error, Result},
    records::Documents,
    store::Imported,
};

/// An import from its last row on.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) documents: Documents,
    pub(super) who: Caller,
    pub(super) reading: Arc<Reading>,
    pub(super) index: Index,
    pub(super) circles: Circles,
    pub(super) summary: Summary,
    /// What the last change of dependences had left before the first look at them.
    pub(super) dependences: Option<String>,
    spool: Arc<Spool>,
}

/// What a look at some rows has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) bad: Vec<BadRow>,
    /// Whether there was anything to look at.
    pub(super) any: bool,
}

impl Course {
    pub(super) async fn begin(
        documents: Documents,
        who: Caller,
        reading: Arc<Reading>,
        mut intake: Intake,
    ) -> Result<Self> {
        let intake = blocking(move || {
            intake.spool.flush()?;
            intake.index.end_at(intake.spool.end());
            Ok(intake)
        })
        .await?;
        Ok(Self {
            documents,
            who,
            reading,
            index: intake.index,
            circles: Circles::new(),
            summary: Summary {
                rows: intake.received,
                bad: intake.bad,
                notes: intake.notes.count,
                ..Summary::default()
            },
            dependences: None,
            spool: Arc::new(intake.spool),
        })
    }

    pub(super) fn progress(&self) -> Progress {
        let Summary {
            rows,
            created,
            unchanged,
            bad,
            notes: _,
        } = self.summary;
        Progress {
            received: rows,
            done: created + unchanged + bad,
        }
    }

    /// Finds how the register spells all numbers that are named, and which versions it has of them.
    pub(super) async fn find_registered(&mut self) -> Result<()> {
        self.dependences = self.documents.store().dependences_mark().await?;
        // The register's spellings come behind those of the rows.
        for from in (0..self.index.names.len()).step_by(BATCH) {
            let numbers = self.index.names.some(from, BATCH);
            let spellings = self.documents.store().spellings(&numbers).await?;
            let numbers: Vec<&str> = spellings
                .iter()
                .map(|known| known.spelling.as_str())
                .collect();
            let versions = self.documents.store().versions_of(&numbers).await?;
            self.index.register(&spellings, versions);
        }
        self.with_index(|index| {
            index.spell();
            index.sort();
            index.sort_registered();
        })
        .await
    }

    /// Compares rows of a batch with the documents that are there, and sees whether what the others need is there.
    pub(super) async fn look(&mut self, batch: usize) -> Result<Look> {
        let index = &self.index;
        let is_known = |entry: &Entry| index.has_registered(entry.number, entry.version);
        let rows = self
            .rows(batch, |entry| {
                entry.state == State::New && (entry.needs_look || is_known(entry))
            })
            .await?;
        let mut look = Look {
            any: !rows.is_empty(),
            ..Look::default()
        };
        let (known, new): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|(place, _)| is_known(&index.entry(*place)));
        look.bad.extend(self.compare(known).await?);
        let contents = new.iter().filter_map(|(_, row)| row.content_sha256.clone());
        let stored = self.documents.sizes_on_disk(contents.collect()).await?;
        for (place, row) in new {
            let content = row.content_sha256.as_ref();
            let checked = row.dates_fit(self.reading.today).and_then(|()| {
                let there = content.is_none_or(|sha256| stored.contains_key(sha256));
                there.then_some(()).ok_or_else(not_stored)
            });
            if let Err(error) = checked {
                look.bad.push(self.told(place, &row, error)?);
            }
        }
        Ok(look)
    }

    /// Compares rows with the documents that they are about. Returns those that say something else.
    pub(super) async fn compare(&mut self, rows: Vec<(Place, Row)>) -> Result<Vec<BadRow>> {
        let mut bad = Vec::new();
        let keys: Vec<Key> = rows.iter().map(|(_, row)| row.key.clone()).collect();
        let there = self.documents.store().documents_imported(&keys).await?;
        let there: BTreeMap<Key, Imported> = there
            .into_iter()
            .map(|imported| (imported.document.key.clone(), imported))
            .collect();
        for (place, row) in rows {
            let Some(imported) = there.get(&row.key) else {
                continue;
            };
            let same_line = imported.hash.as_ref() == Some(&row.fingerprint);
            let compared = match same_line {
                true => Ok(()),
                false => row.says_what_is(&imported.document),
            };
            match compared {
                Ok(()) => {
                    self.index.entry_mut(place).state = State::Kept;
                    self.summary.unchanged += 1;
                }
                Err(error) => bad.push(self.told(place, &row, error)?),
            }
        }
        Ok(bad)
    }

    /// Finds what rows refer to, and which of them cannot be kept beside the others.
    pub(super) async fn relate(&mut self) -> Result<()> {
        self.with_index(|index| {
            index.check_in_force();
            index.relate();
            index.spread();
        })
        .await?;
        let registered = self.follow_dependences().await?;
        self.circles = self
            .with_index(move |index| {
                index.check_supersession();
                // A row that is not kept for that closes no circle of dependence.
                index.spread();
                let circles = index.check_dependence(&registered);
                index.spread();
                circles
            })
            .await?;
        Ok(())
    }

    /// What documents of the register depend on, as far as rows lead there.
    async fn follow_dependences(&mut self) -> Result<Vec<(Id, Id)>> {
        let index = &self.index;
        let rows = index.new_rows().filter(|(_, entry)| !entry.is_final);
        let mut front: Vec<Id> = rows
            .flat_map(|(_, entry)| index.depends_on(&entry).to_vec())
            .collect();
        front.sort_unstable();
        front.dedup();
        front.retain(|number| index.is_registered(*number));
        let mut seen: HashSet<Id> = front.iter().copied().collect();
        let mut edges = Vec::new();
        while !front.is_empty() {
            let mut next = Vec::new();
            for chunk in front.chunks(BATCH) {
                let numbers = chunk.iter().map(|id| self.index.names.get(*id).parse());
                let numbers = numbers.collect::<Result<Vec<Number>>>()?;
                for (from, on) in self.documents.store().dependences_of(&numbers).await? {
                    let names = &mut self.index.names;
                    let (from, on) = (names.id(from.as_str()), names.id(on.as_str()));
                    edges.push((from, on));
                    if seen.insert(on) {
                        next.push(on);
                    }
                }
                if EDGES_MAX < edges.len() {
                    return Err(too_many_edges());
                }
            }
            front = next;
        }
        Ok(edges)
    }

    /// The rows of a batch that are wanted.
    pub(super) async fn rows(
        &self,
        batch: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<(Place, Row)>> {
        let (rows, bytes) = self.index.batch(batch);
        let places: Vec<(Place, bool)> = rows
            .filter(|(_, entry)| entry.is_spooled)
            .map(|(place, entry)| (place, wanted(entry)))
            .collect();
        if !places.iter().any(|(_, wanted)| *wanted) {
            return Ok(Vec::new());
        }
        let (spool, reading) = (self.spool.clone(), self.reading.clone());
        let rows: Result<Vec<(Place, Row)>> = blocking(move || {
            let rows = spool.read(bytes.start, bytes.end)?;
            let rows = places.into_iter().zip(rows);
            let wanted = rows.filter(|((_, wanted), _)| *wanted);
            wanted
                .map(|((place, _), raw)| Ok((place, raw.read(raw.key()?, &reading)?)))
                .collect()
        })
        .await;
        let mut rows = rows?;
        for (_, row) in &mut rows {
            self.index.names.respell(row)?;
        }
        Ok(rows)
    }

    /// Notes that a row is bad, and that it is told.
    pub(super) fn told(&mut self, place: Place, row: &Row, error: Error) -> Result<BadRow> {
        self.index.entry_mut(place).state = State::Told;
        self.summary.bad += 1;
        bad_field(row.line, row.key.number.as_str(), error)
    }

    /// Work on all rows, where nothing else waits for it.
    pub(super) async fn with_index<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Index) -> T + Send + 'static,
    ) -> Result<T> {
        let mut index = std::mem::take(&mut self.index);
        let (index, done) = blocking(move || {
            let done = work(&mut index);
            Ok((index, done))
        })
        .await?;
        self.index = index;
        Ok(done)
    }
}

pub(super) fn not_stored() -> Error {
    Error::invalid(
        "content_sha256",
        "no such content is stored; upload it first",
    )
}
