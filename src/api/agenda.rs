//! The place at which a page of the agenda begins, as its token says.

use jiff::Timestamp;

use super::page;
use crate::{engine::AgendaPlace, error::Result};

/// Stands for a place where there is none: before the first fire.
const NONE: &str = "-";

/// The place at which a page of the agenda begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    /// The instant after which the first page began.
    pub(super) after: Timestamp,
    pub(super) place: Option<AgendaPlace>,
    /// Tasks at which pages before this one have looked that began here, too.
    pub(super) looked: usize,
}

impl Begin {
    /// Reads the key in a token.
    pub(super) fn read(key: &str) -> Result<Self> {
        let parts: Vec<&str> = key.split(' ').collect();
        let (after, due_at, task, looked) = match parts.as_slice() {
            [after, due_at, task] => (after, due_at, task, 0),
            [after, due_at, task, looked] => (after, due_at, task, page::read(looked)?),
            _ => return Err(page::damaged()),
        };
        let place = match (*due_at, *task) {
            (NONE, NONE) => None,
            (due_at, task) => Some(AgendaPlace {
                due_at: page::read(due_at)?,
                task: page::read(task)?,
            }),
        };
        Ok(Self {
            after: page::read(after)?,
            place,
            looked,
        })
    }

    /// Writes the key in a token.
    pub(super) fn written(&self) -> String {
        let place = self.place.as_ref();
        let place = place.map_or_else(
            || format!("{NONE} {NONE}"),
            |place| format!("{} {}", place.due_at, place.task),
        );
        match self.looked {
            0 => format!("{} {place}", self.after),
            looked => format!("{} {place} {looked}", self.after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let after: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let place = AgendaPlace {
            due_at: after,
            task: "task".parse().unwrap(),
        };
        for place in [None, Some(place)] {
            for looked in [0, 7] {
                let begin = Begin {
                    after,
                    place: place.clone(),
                    looked,
                };
                assert_eq!(Begin::read(&begin.written()).unwrap(), begin);
            }
        }
        for wrong in ["", "x", "2026-03-02T12:00:00Z - task", "- - - -"] {
            Begin::read(wrong).unwrap_err();
        }
    }
}
