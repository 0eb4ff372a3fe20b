//! The EDMS's own rules in action: documents, what is in them, and what brings them in and out.
//!
//! [`Documents`] is what others may ask; cheap to clone.

mod attach;
mod content;
mod correct;
mod depends;
mod disk;
mod due;
mod figures;
mod import;
mod moves;
mod new;
mod numbers;
mod verbs;

use std::{path::PathBuf, sync::Arc};

use jiff::{Timestamp, civil::Date};

pub use self::{
    content::{
        ContentLimits, NewContent, Orphan, Received, Removed, TakenAway, Uploaded, check_texts,
    },
    due::{Moved, changed_meanwhile, is_its_own},
    figures::{DocumentsReport, EFFECTIVE_TASK, LateDocuments, OBSOLESCENCE_TASK},
    import::{BadRow, Header, Import, Progress, RowNote, Summary, Taken, Told},
    new::{NewDocument, NextVersion, Texts},
};
use crate::{
    clock::SharedClock,
    domain::{
        document::{DocumentTypes, day_of},
        schedule::NamedZone,
    },
    error::Result,
    store::Store,
};

/// What others may ask of documents; cheap to clone.
#[derive(Clone, Debug)]
pub struct Documents {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: SharedClock,
    settings: Settings,
    report: figures::ReportCache,
    imports: import::Gate,
}

/// What documents take from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The organisation's zone: "today" is its day.
    pub zone: NamedZone,
    /// The data directory, which all replicas share.
    pub data: PathBuf,
    pub content: ContentLimits,
    /// What is said of types of documents; each server has its own.
    pub types: DocumentTypes,
}

impl Documents {
    pub fn new(store: Store, clock: SharedClock, settings: Settings) -> Self {
        let inner = Inner {
            store,
            clock,
            settings,
            report: figures::ReportCache::default(),
            imports: import::Gate::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The organisation's day at an instant.
    pub fn day_of(&self, at: Timestamp) -> Date {
        day_of(&self.inner.settings.zone.rules(), at)
    }
}

/// The organisation's zone by its name, which the configuration has checked.
///
/// # Errors
/// Where the tz database does not know it.
pub fn zone(name: &str) -> Result<NamedZone> {
    NamedZone::find(name).map_err(crate::error::Error::internal)
}
