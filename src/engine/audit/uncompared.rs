//! What an audit did not compare: rows that were looked at for holes, and not whether they have as many slots as there
//! are. They must not pass for sound.

use std::{collections::BTreeMap, fmt};

use crate::domain::{ledger::SlotRow, schedule::split_tzdb};

/// Versions of the tz database told apart; what is beyond goes under the last.
const VERSIONS: usize = 100;

/// Rows, and the slots that they say they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pub rows: u64,
    pub slots: i64,
}

/// Rows that were not compared, by why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncompared {
    /// Made by other rules of their zone, by the version of the tz database.
    pub other_rules: BTreeMap<String, Rows>,
    /// What pruning has merged.
    pub pruned: Rows,
    /// What they were to do is gone, or cannot be read here.
    pub unreadable: Rows,
}

impl Rows {
    pub(super) fn count(&mut self, row: &SlotRow) {
        self.rows += 1;
        self.slots = self.slots.saturating_add(row.count);
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.slots = self.slots.saturating_add(other.slots);
    }
}

impl Uncompared {
    pub fn rows(&self) -> u64 {
        let others: u64 = self.other_rules.values().map(|rows| rows.rows).sum();
        others + self.pruned.rows + self.unreadable.rows
    }

    pub(super) fn of_version(&mut self, tzdb: &str) -> &mut Rows {
        let (version, _) = split_tzdb(tzdb);
        let full = VERSIONS <= self.other_rules.len() && !self.other_rules.contains_key(version);
        let key = if full { "others" } else { version };
        self.other_rules.entry(key.to_owned()).or_default()
    }

    pub(in crate::engine) fn add(&mut self, other: Self) {
        for (version, rows) in other.other_rules {
            self.of_version(&version).add(rows);
        }
        self.pruned.add(other.pruned);
        self.unreadable.add(other.unreadable);
    }
}

/// A line for each why.
impl fmt::Display for Uncompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |rows: Rows, why: fmt::Arguments<'_>| match rows {
            Rows { rows: 0, .. } => Ok(()),
            Rows { rows, slots } => writeln!(
                f,
                "not compared, looked at for holes only: {rows} ledger rows of {slots} slots, {why}"
            ),
        };
        for (version, rows) in &self.other_rules {
            line(
                *rows,
                format_args!(
                    "made by other rules of their time zone than these (tz database {version})"
                ),
            )?;
        }
        line(self.pruned, format_args!("merged by pruning"))?;
        line(
            self.unreadable,
            format_args!("whose schedule is gone or cannot be read"),
        )
    }
}
