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
    /// What the filter's name stands for, where that can come to stand for another thing.
    of: Option<String>,
    /// Everything before the place.
    head: String,
}

impl Tokens {
    /// The same, for a filter by the name of a thing that has this id. What is made says so where `is_told`: a server of
    /// an earlier version refuses a token that does.
    pub(super) fn bound(self, id: impl ToString, is_told: bool) -> Self {
        let of = short(&id.to_string());
        let head = match is_told {
            true => format!("{}{of}.", self.head),
            false => self.head,
        };
        Self {
            head,
            of: Some(of),
            ..self
        }
    }

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
            of: None,
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
    /// it is of another epoch of the log; [`Error::Conflict`] `REPLACED` where it is of another thing of that name.
    pub(super) fn read(&self, token: &str) -> Result<Option<Place>> {
        if token.is_empty() {
            return Ok(None);
        }
        let wrong = |what: &str| Error::invalid("resume_token", what);
        let parts: Vec<&str> = token.split('.').collect();
        let (cluster, epoch, filter, of, place) = match parts.as_slice() {
            ["1", cluster, epoch, filter, place] => (cluster, epoch, filter, None, place),
            ["1", cluster, epoch, filter, of, place] => (cluster, epoch, filter, Some(*of), place),
            _ => return Err(wrong("it is no token of a watch; begin without one")),
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
        // A server of an earlier version gave tokens that say nothing of it.
        match (self.of.as_deref(), of) {
            (Some(own), Some(of)) if own != of => return Err(page::replaced("the watch")),
            (None, Some(_)) => return Err(wrong("it is damaged; begin without one")),
            _ => {}
        }
        let place = match *place {
            "s" => Some(Place::Snapshot),
            number => number.parse().ok().map(Place::After),
        };
        // A number can be spelt in more ways than the one in which it was given.
        let head = parts.len() - 1;
        let is_spelt_so =
            |place: &Place| self.make(*place).rsplit('.').next() == parts.get(head).copied();
        place
            .filter(is_spelt_so)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn a_token_is_of_the_thing_that_had_the_name() {
        let unbound = Tokens::new("cluster", "epoch", &["WatchRuns", "tasks/task", ""]);
        let (one, other) = (
            unbound.clone().bound(1, true),
            unbound.clone().bound(2, true),
        );
        let token = one.make(Place::After(7));
        assert_eq!(one.read(&token).unwrap(), Some(Place::After(7)));
        let error = other.read(&token).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Conflict {
                    reason: Reason::Replaced,
                    ..
                }
            ),
            "{error}"
        );
        assert!(matches!(unbound.read(&token), Err(Error::Invalid { .. })));
        // Of an earlier version.
        let old = unbound.make(Place::Snapshot);
        assert_eq!(one.read(&old).unwrap(), Some(Place::Snapshot));
        // Beside one: it reads what is made, and what was made is read here.
        let beside = unbound.clone().bound(1, false);
        let told = beside.make(Place::After(7));
        assert_eq!(unbound.read(&told).unwrap(), Some(Place::After(7)));
        assert_eq!(beside.read(&token).unwrap(), Some(Place::After(7)));
        let error = beside.read(&other.make(Place::After(7))).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        for damaged in [
            format!("{token}.1"),
            token.replace(".7", ".07"),
            "1.2.3".to_owned(),
        ] {
            assert!(
                matches!(one.read(&damaged), Err(Error::Invalid { .. })),
                "{damaged}"
            );
        }
    }
}
