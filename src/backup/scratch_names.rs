//! What scratch databases of drills are called, and the note that each bears: of which cluster, server's database and
//! run it is, so that one that was left is known, and nobody else's is taken for one.

use uuid::Uuid;

use crate::domain::RunId;

/// Beginning of all of their names.
const BEGINNING: &str = "watchbell_drill_";
/// Characters of a cluster's id that a name holds.
const OF_CLUSTER: usize = 12;

/// Maker of scratch databases: a server, by its cluster and its own database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Maker {
    cluster: String,
    /// The database that the server itself is on: a copy of an instance has the same cluster, and another database.
    home: String,
}

/// Owner of a database, as far as its name and its comment tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This maker's, of a run.
    Ours(RunId),
    /// Called as if it were, without a note: made by an older version, or by a process that was killed at once.
    Unnoted(RunId),
    Others,
}

impl Maker {
    pub(super) fn new(cluster: &str, home: String) -> Self {
        Self {
            cluster: cluster.to_owned(),
            home,
        }
    }

    pub(super) fn name(&self, run: RunId) -> String {
        format!("{}{}", self.beginning(), run.0.simple())
    }

    /// The beginning of the names of all of its databases.
    pub(super) fn beginning(&self) -> String {
        let cluster = self.cluster.chars().filter(char::is_ascii_alphanumeric);
        let cluster: String = cluster.take(OF_CLUSTER).collect();
        format!("{BEGINNING}{cluster}_")
    }

    /// The comment that a database of a run bears.
    pub(super) fn note(&self, run: RunId) -> String {
        let Self { cluster, home } = self;
        format!("watchbell: made to try a dump; cluster {cluster}, run {run}, server on {home:?}")
    }

    /// Whether a note is one of this maker's, of whichever run.
    pub(super) fn made(&self, note: &str) -> bool {
        let run = note
            .split_once(", run ")
            .and_then(|(_, rest)| rest.get(..36));
        let run = run.and_then(|run| Uuid::try_parse(run).ok());
        run.is_some_and(|run| note == self.note(RunId(run)))
    }

    /// Says whose a database of this name and comment is.
    pub(super) fn whose(&self, name: &str, note: Option<&str>) -> Whose {
        let run = name.strip_prefix(&self.beginning());
        let Some(run) = run.and_then(|run| Uuid::try_parse(run).ok()).map(RunId) else {
            return Whose::Others;
        };
        match note {
            None if self.name(run) == name => Whose::Unnoted(run),
            Some(note) if self.name(run) == name && note == self.note(run) => Whose::Ours(run),
            _ => Whose::Others,
        }
    }
}

/// Whether a database of this name might be taken for one of a drill.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with(BEGINNING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_bears_its_makers_note_is_its_makers() {
        let run = RunId(Uuid::from_u128(7));
        let maker = Maker::new("0190aaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "one".to_owned());
        let copy = Maker {
            home: "two".to_owned(),
            ..maker.clone()
        };
        let name = maker.name(run);
        assert_eq!(name, copy.name(run));
        let note = maker.note(run);
        assert_eq!(maker.whose(&name, Some(&note)), Whose::Ours(run));
        assert_eq!(copy.whose(&name, Some(&note)), Whose::Others);
        assert_eq!(maker.whose(&name, Some("of mine")), Whose::Others);
        assert_eq!(maker.whose(&name, None), Whose::Unnoted(run));
        let of_another = maker.note(RunId(Uuid::from_u128(8)));
        assert_eq!(maker.whose(&name, Some(&of_another)), Whose::Others);
        assert!(maker.made(&note) && maker.made(&of_another));
        assert!(!copy.made(&note) && !maker.made("of mine") && !maker.made(""));
        let named = format!("{}mine", maker.beginning());
        assert_eq!(maker.whose(&named, None), Whose::Others);
    }
}
