//! Resume tokens: where a watch stands, bound to cluster, log epoch and filter.

use sha2::{Digest as _, Sha256};

use super::{Api, page};
use crate::error::{Error, Result};

/// Where a watch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Inside a snapshot: it has to be begun again.
    Snapshot,
    /// After this event.
    After(i64),
}

/// Makes and reads the tokens of one watch.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    cluster: String,
    epoch: String,
    filter: String,
    /// Everything before the place.
    head: String,
}

impl Tokens {
    pub(super) fn of(api: &Api, filter: &[&str]) -> Self {
        Self::new(&api.info.cluster_id, &api.info.log_epoch, filter)
    }

    pub(super) fn new(cluster_id: &str, log_epoch: &str, filter: &[&str]) -> Self {
        let (cluster, epoch) = (short(cluster_id), short(log_epoch));
        let filter = page::scope(filter);
        Self {
            head: format!("1.{cluster}.{epoch}.{filter}."),
            cluster,
            epoch,
            filter,
        }
    }

    pub(super) fn make(&self, place: Place) -> String {
        match place {
            Place::Snapshot => format!("{}s", self.head),
            Place::After(sequence) => format!("{}{sequence}", self.head),
        }
    }

    /// Where a token points; none of an empty one.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is of another server or another filter; [`Error::OutOfRange`] where
    /// it is of another epoch of the log.
    pub(super) fn read(&self, token: &str) -> Result<Option<Place>> {
        if token.is_empty() {
            return Ok(None);
        }
        let wrong = |what: &str| Error::invalid("resume_token", what);
        let parts: Vec<&str> = token.split('.').collect();
        let ["1", cluster, epoch, filter, place] = parts.as_slice() else {
            return Err(wrong("it is no token of a watch; begin without one"));
        };
        if *cluster != self.cluster {
            return Err(wrong("it is of another server; begin without one"));
        }
        if *filter != self.filter {
            return Err(wrong(
                "it is of a watch with another filter; repeat that filter, or begin without one",
            ));
        }
        if *epoch != self.epoch {
            return Err(Error::OutOfRange {
                message:
                    "the log was replaced since, as by a restore; begin without a resume token"
                        .to_owned(),
                oldest: String::new(),
            });
        }
        let place = match *place {
            "s" => Some(Place::Snapshot),
            number => number.parse().ok().map(Place::After),
        };
        // A number can be spelt in more ways than the one in which it was given.
        place
            .filter(|place| self.make(*place) == token)
            .map(Some)
            .ok_or_else(|| wrong("it is damaged; begin without one"))
    }
}

fn short(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
