//! Imports of registers: good rows are kept, and of each bad one it is told why, by its line.
//!
//! A row may refer to any other, so nothing is decided before the last one has come. Until then rows that are sound
//! by themselves lie in a file ([`spool`]), and of each a few bytes in memory say what it is and what it refers to
//! ([`index`]). What had to be bent of a row to read it is told at once. Then
//!
//! 0. numbers that differ in case alone are made one ([`spelt`]);
//! 1. rows about documents that are there are compared with them ([`course`]): the same line again, or one that
//!    says what the document is, changes nothing; another one is bad;
//! 2. references are found, in the register or among the rows; what refers to a bad row is bad itself, and so is
//!    what is in a circle ([`relate`], [`circles`]);
//! 3. what is left is written, in the order of the file, in transactions of [`index::BATCH`] rows; but for what would
//!    close a circle with what others have written meanwhile ([`meanwhile`]).
//!
//! An import that breaks off has written some batches, or none. The same file again finds those rows unchanged, and
//! goes on. One import is under way in a process at a time, since each may take gigabytes of the disk: the next one
//! waits a moment, and then is refused.

mod circles;
mod course;
mod index;
mod meanwhile;
mod names;
mod relate;
mod spelt;
mod spool;
mod tell;
mod write;

use std::{sync::Arc, time::Duration};

use async_stream::try_stream;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::tell::{BadRow, Progress, RowNote, Summary, Told};
use self::{
    course::Course,
    index::Index,
    spool::Spool,
    tell::{Notes, bad_field, number_of},
};
use super::{Documents, disk};
use crate::{
    domain::{
        Caller,
        document::{
            person,
            row::{RawRow, Reading},
            written::DayForm,
        },
    },
    error::{Error, Result, all},
};

/// Rows of an import at the most.
const ROWS_MAX: i64 = 1_000_000;
/// How long an import waits for the one before it: one that was given up ends within that.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets one import through at a time.
#[derive(Debug)]
pub(super) struct Gate(Arc<Semaphore>);

/// An import whose rows come in. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Import {
    documents: Documents,
    who: Caller,
    validate_only: bool,
    reading: Arc<Reading>,
    /// None while rows are being taken in.
    intake: Option<Intake>,
    permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Intake {
    index: Index,
    spool: Spool,
    received: i64,
    bad: i64,
    notes: Notes,
}

/// What becomes of rows that come in.
#[derive(Debug, Default)]
pub struct Taken {
    /// Those that are not sound by themselves.
    pub bad: Vec<BadRow>,
    /// What was bent, as far as it is told.
    pub notes: Vec<RowNote>,
}

/// What holds for a whole import.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Who brings it in.
    pub actor: &'a str,
    pub validate_only: bool,
    /// How rows write days, by a sample; empty: in no way of their own.
    pub date_format: &'a str,
}

impl Documents {
    /// Begins an import.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `header.actor` or `header.date_format`; [`Error::Exhausted`] where another import is under
    /// way.
    pub async fn import(&self, who: Caller, header: Header<'_>) -> Result<Import> {
        let (actor, day_form) = all((
            person("header.actor", header.actor),
            DayForm::read("header.date_format", header.date_format),
        ))?;
        let validate_only = header.validate_only;
        let reading = Reading {
            actor,
            today: self.day_of(self.clock().now()),
            day_form,
        };
        let permit = self.inner.imports.enter().await?;
        let data = self.settings().data.clone();
        let spool = blocking(move || Spool::open(&data)).await?;
        Ok(Import {
            documents: self.clone(),
            who,
            validate_only,
            reading: Arc::new(reading),
            intake: Some(Intake {
                index: Index::default(),
                spool,
                received: 0,
                bad: 0,
                notes: Notes::default(),
            }),
            permit,
        })
    }
}

impl Import {
    /// Takes rows in, in the order of the file.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where there are too many, or where the disk is full.
    pub async fn take(&mut self, rows: Vec<RawRow>) -> Result<Taken> {
        let Some(mut intake) = self.intake.take() else {
            return Err(Error::internal("rows after an import has failed"));
        };
        let reading = self.reading.clone();
        let (intake, taken) = blocking(move || {
            let taken = intake.take(rows, &reading)?;
            Ok((intake, taken))
        })
        .await?;
        self.intake = Some(intake);
        Ok(taken)
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let intake = self.intake.as_ref();
        Progress {
            received: intake.map_or(0, |intake| intake.received),
            done: intake.map_or(0, |intake| intake.bad),
        }
    }

    /// All rows have come: says what becomes of them while it happens. It goes on as it is listened to.
    pub fn finish(self) -> impl Stream<Item = Result<Told>> + Send {
        try_stream! {
            let Some(intake) = self.intake else {
                Err(Error::internal("an import that has failed was finished"))?;
                return;
            };
            // Held until all is done.
            let _permit = self.permit;
            let mut course = Course::begin(self.documents, self.who, self.reading, intake).await?;
            course.find_registered().await?;
            for batch in 0..course.index.batch_count() {
                let looked_at = course.look(batch).await?;
                for bad in looked_at.bad {
                    yield Told::Bad(bad);
                }
                if looked_at.any {
                    yield Told::Progress(course.progress());
                }
            }
            course.relate().await?;
            for batch in 0..course.index.batch_count() {
                for bad in course.write(batch, self.validate_only).await? {
                    yield Told::Bad(bad);
                }
                yield Told::Progress(course.progress());
            }
            yield Told::Summary(course.summary);
        }
    }
}

impl Intake {
    fn take(&mut self, rows: Vec<RawRow>, reading: &Reading) -> Result<Taken> {
        let mut taken = Taken::default();
        for mut raw in rows {
            if self.received == ROWS_MAX {
                let message =
                    format!("more than {ROWS_MAX} rows: bring them in by several imports");
                return Err(Error::Exhausted(message));
            }
            self.received += 1;
            let bends = raw.bend(reading);
            if !bends.is_empty() {
                taken.notes.extend(self.notes.take(&raw, bends));
            }
            let refused = match raw.key() {
                Err(error) => Err(error),
                Ok(key) => match raw.read(key.clone(), reading) {
                    Ok(row) => {
                        let in_doubt = row.dates_fit(reading.today).is_err();
                        let needs_look = in_doubt || row.content_sha256.is_some();
                        self.index.add(&row, needs_look, self.spool.end())?;
                        self.spool.push(&raw)
                    }
                    Err(error) => {
                        self.index.add_bad(raw.line, &key, self.spool.end());
                        Err(error)
                    }
                },
            };
            if let Err(error) = refused {
                self.bad += 1;
                let bad = bad_field(raw.line, &number_of(&raw), error)?;
                taken.bad.push(bad);
            }
        }
        Ok(taken)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Gate {
    async fn enter(&self) -> Result<OwnedSemaphorePermit> {
        let permit = tokio::time::timeout(PATIENCE, self.0.clone().acquire_owned()).await;
        permit
            .map_err(|_| {
                let message = "another import is under way: try again when it has ended";
                Error::Exhausted(message.to_owned())
            })?
            .map_err(Error::internal)
    }
}

/// What is said to be away where the disk is.
const SPOOL: &str = "the room for imports";

/// Work that takes a while, where nothing else waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    disk::blocking(SPOOL, work).await
}
