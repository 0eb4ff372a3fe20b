//! Which configuration is in force: what earlier starts brought, and whether what a start brings takes its place.

use jiff::Timestamp;

use super::{id::ReplicaId, text::text_enum};

text_enum! {
    /// How a configuration came into force.
    Applied {
        /// Another than the one before: an edit of the file, or the first of all.
        Edit = "edit",
        /// One that had been superseded, where nobody serves a newer one.
        Rollback = "rollback",
        /// One that had been superseded, over a newer one that is served: someone asked for it.
        Older = "older",
        /// No file: someone asked for it.
        Without = "without",
    }
}

/// A configuration that came into force, and who brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedConfiguration {
    pub applied_at: Timestamp,
    /// Of all that shapes tasks.
    pub hash: String,
    /// Of the program, which brings tasks of its own.
    pub version: String,
    /// The file it was read from; none where there was none.
    pub file: Option<String>,
    /// Tasks that it names.
    pub tasks: i64,
    pub how: Applied,
    pub host: String,
    pub replica: ReplicaId,
}

/// What a start, or a server that lives, goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    pub hash: &'a str,
    pub version: &'a str,
}

/// Where what a start brings stands among what was in force before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It is the newest.
    InForce,
    /// It was never in force.
    New,
    /// It was superseded, and no server that lives goes by a newer one.
    Superseded(&'a AppliedConfiguration),
    /// It was superseded by this one, which a server that lives goes by.
    Older(&'a AppliedConfiguration),
}

impl AppliedConfiguration {
    fn is(&self, identity: Identity<'_>) -> bool {
        self.hash == identity.hash && self.version == identity.version
    }

    /// The file's name, or a word for none.
    pub fn file_or_none(&self) -> &str {
        self.file.as_deref().unwrap_or("no file")
    }
}

/// Where `offered` stands in `history`, newest first, while servers live that go by `living`.
pub fn standing<'a>(
    offered: Identity<'_>,
    history: &'a [AppliedConfiguration],
    living: &[Identity<'_>],
) -> Standing<'a> {
    let place = |identity| history.iter().position(|applied| applied.is(identity));
    let own = match place(offered) {
        None => return Standing::New,
        Some(0) => return Standing::InForce,
        Some(own) => own,
    };
    let newer = living.iter().filter_map(|identity| place(*identity)).min();
    match newer.filter(|newer| *newer < own) {
        Some(newer) => Standing::Older(&history[newer]),
        None => Standing::Superseded(&history[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(hash: &str, version: &str) -> AppliedConfiguration {
        AppliedConfiguration {
            applied_at: Timestamp::UNIX_EPOCH,
            hash: hash.to_owned(),
            version: version.to_owned(),
            file: None,
            tasks: 0,
            how: Applied::Edit,
            host: String::new(),
            replica: ReplicaId::new(),
        }
    }

    fn of<'a>(hash: &'a str, version: &'a str) -> Identity<'a> {
        Identity { hash, version }
    }

    #[test]
    fn what_was_superseded_is_older_only_while_a_newer_one_is_served() {
        let history = [applied("c", "2"), applied("b", "2"), applied("a", "1")];
        let stands = |offered, living: &[Identity<'_>]| standing(offered, &history, living);
        assert_eq!(stands(of("c", "2"), &[of("b", "2")]), Standing::InForce);
        assert_eq!(stands(of("d", "2"), &[of("c", "2")]), Standing::New);
        assert_eq!(
            stands(of("c", "1"), &[]),
            Standing::New,
            "of another program"
        );
        assert_eq!(
            stands(of("a", "1"), &[of("c", "2")]),
            Standing::Older(&history[0])
        );
        assert_eq!(
            stands(of("a", "1"), &[of("b", "2")]),
            Standing::Older(&history[1])
        );
        assert_eq!(
            stands(of("b", "2"), &[of("a", "1")]),
            Standing::Superseded(&history[0])
        );
        assert_eq!(
            stands(of("b", "2"), &[of("b", "2")]),
            Standing::Superseded(&history[0])
        );
        assert_eq!(
            stands(of("b", "2"), &[of("x", "9")]),
            Standing::Superseded(&history[0])
        );
        assert_eq!(stands(of("a", "1"), &[]), Standing::Superseded(&history[0]));
    }
}
