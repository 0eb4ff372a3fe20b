//! When a task runs: a specification is parsed once, then asked for slots.
//!
//! Everything here is a function of its arguments: no clock, no I/O but the tz database. The story:
//! [`ScheduleSpec`] is what a caller writes. `expression`, `field` and `days` turn a cron line into
//! sets of bits (`cron`), `zone` turns an IANA name into a table of periods of constant offset, and
//! `rule` walks the periods and asks the bits for the next local time in each. All of that counts
//! whole seconds; [`Schedule`] adds the window of start and end, and the spread.
//!
//! Daylight saving follows Debian's cron. An entry whose minute or hour field starts with `*`
//! matches every real instant. Any other entry has a fixed time and runs exactly once each nominal
//! day: at a gap's end if the time is skipped, at the first pass if it occurs twice.

mod civil;
mod count;
mod cron;
mod days;
mod expression;
mod field;
mod hash;
mod parse;
mod preview;
mod rule;
mod spec;
#[cfg(test)]
mod tests;
mod tzdb;
mod zone;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

pub(super) use self::parse::several;
pub use self::{
    preview::{Fire, preview},
    spec::ScheduleSpec,
    tzdb::version as tzdb_version,
    zone::{NamedZone, refresh as refresh_zones, zones_in_use},
};
use self::{rule::Rule, zone::Zone};
use crate::error::Result;

/// The last instant before this one, of those that are kept: where a span that is open at this end
/// closes.
pub fn just_before(instant: Timestamp) -> Timestamp {
    let tick = SignedDuration::from_micros(1);
    instant.saturating_sub(tick).unwrap_or(Timestamp::MIN)
}

/// [`Schedule::rules`] of those that need no zone.
const UNZONED: i64 = 1;
/// The first of the others.
const ZONED: i64 = 2;

/// What [`Schedule::rules`] says of those that go by the rules in use, as far as their zones are in use.
pub fn known_rules() -> Vec<i64> {
    let zones = zones_in_use().into_values();
    let zoned = zones.map(|digest| i64::from(digest) + ZONED);
    std::iter::once(UNZONED).chain(zoned).collect()
}

/// What a row of the ledger says of its rules: the version of the tz database, and what tells the zone's rules from
/// others, which older rows do not have.
pub fn split_tzdb(tzdb: &str) -> (&str, Option<u32>) {
    let digest = |text: &str| match text.len() {
        8 => u32::from_str_radix(text, 16).ok(),
        _ => None,
    };
    match tzdb.rsplit_once(' ') {
        Some((version, text)) => match digest(text) {
            Some(digest) => (version, Some(digest)),
            None => (tzdb, None),
        },
        None => (tzdb, None),
    }
}

/// A parsed specification: cheap to clone, and equal to another one parsed from the same text for
/// the same task.
#[derive(Clone, Debug)]
pub struct Schedule {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    spec: ScheduleSpec,
    /// Empty where nothing is drawn by it.
    task_name: String,
    zone: Arc<Zone>,
    rule: Rule,
    /// The window that slots lie in, both ends included, in seconds.
    first: i64,
    last: i64,
    spread: Duration,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&*self.inner, &*other.inner);
        a.spec == b.spec && a.task_name == b.task_name && a.zone.name == b.zone.name
    }
}

impl Eq for Schedule {}

impl Schedule {
    /// Checks a specification and works out what it means for the task of this name.
    /// `default_zone` is the organisation's, for a specification that names none.
    ///
    /// # Errors
    /// `Invalid`, naming the field, what was written and what was expected.
    pub fn parse(spec: &ScheduleSpec, task_name: &str, default_zone: &str) -> Result<Self> {
        let inner = Arc::new(parse::check(spec, task_name, default_zone)?);
        Ok(Self { inner })
    }

    /// What was parsed.
    pub fn spec(&self) -> &ScheduleSpec {
        &self.inner.spec
    }

    /// Whether it may be another for a task of another name.
    pub fn is_of_its_name(&self) -> bool {
        !self.inner.task_name.is_empty()
    }

    /// Whether the task runs only when someone triggers it.
    pub fn is_manual(&self) -> bool {
        matches!(self.inner.rule, Rule::Manual)
    }

    /// The IANA name of the zone in which the schedule is read and shown.
    pub fn time_zone(&self) -> &str {
        &self.inner.zone.name
    }

    /// Whether the rules of its zone are still those in use: else it is to be parsed again.
    pub fn is_current(&self) -> bool {
        self.inner.zone.is_current()
    }

    /// Tells the rules by which its slots are found from others; never 0. The same for all that need no zone.
    pub fn rules(&self) -> i64 {
        match self.inner.rule {
            Rule::Cron { .. } => i64::from(self.inner.zone.digest) + ZONED,
            Rule::Manual | Rule::At(_) | Rule::Every { .. } => UNZONED,
        }
    }

    /// What a row of the ledger says of them: the version of the tz database, and what tells the zone's rules in it from
    /// others.
    pub fn tzdb(&self) -> String {
        let Zone {
            version, digest, ..
        } = &*self.inner.zone;
        match self.rules() {
            UNZONED => version.to_string(),
            _ => format!("{version} {digest:08x}"),
        }
    }

    /// Whether a row that says this of its rules was made by the same: else the same instants need not be slots.
    pub fn is_made_by(&self, tzdb: &str) -> bool {
        let zone = &self.inner.zone;
        self.rules() == UNZONED
            || match split_tzdb(tzdb) {
                (_, Some(digest)) => digest == zone.digest,
                (version, None) => *version == *zone.version,
            }
    }

    /// The first slot after an instant, that instant excluded; `None` once there are no more.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.first_in(floor(after) + 1, i64::MAX).and_then(at)
    }

    /// The slots in `(after, upto]`, oldest first, worked out as they are asked for.
    pub fn slots(&self, after: Timestamp, upto: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let mut from = floor(after) + 1;
        let upto = floor(upto);
        std::iter::from_fn(move || {
            let slot = self.first_in(from, upto)?;
            from = slot + 1;
            at(slot)
        })
    }

    /// How many slots lie in `(after, upto]`, by arithmetic: a year of seconds takes no longer
    /// than a year of months.
    pub fn count(&self, after: Timestamp, upto: Timestamp) -> u64 {
        let Inner {
            rule, first, last, ..
        } = &*self.inner;
        rule.count_in((floor(after) + 1).max(*first), floor(upto).min(*last))
    }

    /// The newest slot in `(after, upto]`.
    ///
    /// It halves what is left of the range after the newest slot found so far, so it asks about
    /// forty questions however many slots there are.
    pub fn last_between(&self, after: Timestamp, upto: Timestamp) -> Option<Timestamp> {
        self.last_in(floor(after) + 1, floor(upto)).and_then(at)
    }

    /// The newest slot in `(after, at]`, and whether it is due by `at`. All before it are: a spread never reaches to the
    /// next slot.
    pub fn last_come(&self, after: Timestamp, at: Timestamp) -> Option<(Timestamp, bool)> {
        let last = self.last_between(after, at)?;
        Some((last, self.due_at(last) <= at))
    }

    /// The slot in `(after, at]` that waits for its spread still at `at`.
    pub fn waiting(&self, after: Timestamp, at: Timestamp) -> Option<Timestamp> {
        let (last, is_due) = self.last_come(after, at)?;
        (!is_due).then_some(last)
    }

    /// When a slot's run is due: the slot, moved back by the spread. The same on every replica.
    pub fn due_at(&self, slot: Timestamp) -> Timestamp {
        let Ok(mut window) = i64::try_from(self.inner.spread.as_millis()) else {
            return slot;
        };
        if window == 0 {
            return slot;
        }
        let slot_ms = slot.as_millisecond();
        if let Some(next) = self.next_after(slot) {
            window = window.min(next.as_millisecond() - slot_ms);
        }
        let drawn = hash::draw(&self.inner.task_name, &slot_ms.to_be_bytes());
        let late_ms = (drawn % window.max(1).unsigned_abs()) as i64;
        Timestamp::from_millisecond(slot_ms.saturating_add(late_ms)).unwrap_or(slot)
    }

    /// The first slot in `[from, upto]`, in seconds.
    fn first_in(&self, from: i64, upto: i64) -> Option<i64> {
        let Inner {
            rule, first, last, ..
        } = &*self.inner;
        rule.first_in(from.max(*first), upto.min(*last))
    }

    /// The newest slot in `[from, upto]`, in seconds.
    fn last_in(&self, from: i64, upto: i64) -> Option<i64> {
        let mut found = self.first_in(from, upto)?;
        let mut upto = upto.min(self.inner.last);
        while found < upto {
            // At least one second above `found`, so that every round makes the range smaller.
            let middle = found + (upto - found).div_euclid(2) + (upto - found) % 2;
            match self.first_in(middle, upto) {
                Some(slot) => found = slot,
                None => upto = middle - 1,
            }
        }
        Some(found)
    }
}

/// The last whole second that is not after the instant.
fn floor(instant: Timestamp) -> i64 {
    instant.as_second() - i64::from(instant.subsec_nanosecond() < 0)
}

/// The first whole second that is not before the instant.
fn ceil(instant: Timestamp) -> i64 {
    instant.as_second() + i64::from(instant.subsec_nanosecond() > 0)
}

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}
