//! A time zone as a table of periods of constant offset, so that stepping asks jiff nothing.
//!
//! Tables are shared by name, and stand until [`refresh`] looks whether the tz database has become another: so that all
//! that is worked out between two looks goes by the same rules.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::{hash, tzdb};

/// Rules are laid out up to 2200-01-01; nobody knows them beyond, so the last offset stays.
const HORIZON: i64 = 7_258_118_400;

static TABLES: LazyLock<Mutex<HashMap<String, Arc<Zone>>>> = LazyLock::new(Mutex::default);

/// A stretch of real time `[start, end)` with one offset. All numbers are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) offset: i64,
    /// Local times before this one have been reached before this period began. Below the period's
    /// first local time a gap lies between the two; above it, what lies between is repeated.
    pub(super) seen: i64,
}

impl Period {
    /// The local time with which the period begins.
    pub(super) fn local_start(&self) -> i64 {
        self.start + self.offset
    }

    /// The local time with which the period ends, itself excluded.
    pub(super) fn local_end(&self) -> i64 {
        self.end + self.offset
    }
}

/// A named time zone.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) time_zone: TimeZone,
    /// Version of the tz database that it is from.
    pub(super) version: Arc<str>,
    /// Tells its rules from those that it had or may have: the same on every server that has the same rules of it.
    pub(super) digest: u32,
    periods: Vec<Period>,
    /// Another has taken its place.
    outdated: AtomicBool,
}

impl Zone {
    /// Finds a zone by its IANA name.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub(super) fn find(name: &str) -> Result<Arc<Self>, String> {
        if means_this_machine(name) {
            return Err(format!(
                "{name:?} means something else on each machine, and is no zone of the tz database; expected an IANA name \
                 such as \"Europe/Paris\" or \"UTC\""
            ));
        }
        if let Some(zone) = tables().get(name) {
            return Ok(zone.clone());
        }
        let Some(time_zone) = look_up(name) else {
            return Err(unknown(name));
        };
        let name = time_zone.iana_name().unwrap_or(name).to_owned();
        let version = tzdb::version();
        let mut tables = tables();
        let zone = tables
            .entry(name)
            .or_insert_with_key(|name| Arc::new(Self::of(name, time_zone, version)));
        Ok(zone.clone())
    }

    fn of(name: &str, time_zone: TimeZone, version: Arc<str>) -> Self {
        let periods = lay_out(&time_zone);
        Self {
            name: name.to_owned(),
            version,
            digest: digest(name, &periods),
            time_zone,
            periods,
            outdated: AtomicBool::new(false),
        }
    }

    /// Whether it was so at the last look.
    pub(super) fn is_current(&self) -> bool {
        !self.outdated.load(Ordering::Acquire)
    }

    /// The periods from the one that holds `instant` on.
    pub(super) fn periods_from(&self, instant: i64) -> &[Period] {
        let after = self.periods.partition_point(|p| p.start <= instant);
        &self.periods[after.saturating_sub(1)..]
    }
}

/// A zone by its name, for who keeps it for long: its rules are those in use when they are asked for.
#[derive(Clone, Debug)]
pub struct NamedZone {
    name: String,
    first: TimeZone,
}

impl NamedZone {
    /// # Errors
    /// Where the tz database does not know it.
    pub fn find(name: &str) -> Result<Self, jiff::Error> {
        let first = TimeZone::get(name)?;
        Ok(Self {
            name: name.to_owned(),
            first,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules as they are.
    pub fn rules(&self) -> TimeZone {
        Zone::find(&self.name).map_or_else(|_| self.first.clone(), |zone| zone.time_zone.clone())
    }
}

fn tables() -> std::sync::MutexGuard<'static, HashMap<String, Arc<Zone>>> {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A system may have fewer names than there are, such as those that Debian keeps apart.
fn look_up(name: &str) -> Option<TimeZone> {
    TimeZone::get(name)
        .or_else(|_| TimeZoneDatabase::bundled().get(name))
        .ok()
}

/// Looks whether the tz database has become another, and takes its rules over; the zones whose rules have changed. It
/// reads the file of each zone that is in use.
pub fn refresh() -> Vec<String> {
    let version = tzdb::reread();
    jiff::tz::db().reset();
    let known: Vec<Arc<Zone>> = tables().values().cloned().collect();
    let mut changed = Vec::new();
    for old in known {
        // A name that is gone, as in the midst of an update, keeps the rules that it had.
        let Some(time_zone) = look_up(&old.name) else {
            continue;
        };
        if time_zone == old.time_zone && version == old.version {
            continue;
        }
        let new = Zone::of(&old.name, time_zone, version.clone());
        if new.digest != old.digest {
            changed.push(new.name.clone());
        }
        tables().insert(new.name.clone(), Arc::new(new));
        // Behind the insertion: who sees this finds the other.
        old.outdated.store(true, Ordering::Release);
    }
    changed.sort();
    changed
}

/// The zones in use, each with what tells its rules from others.
pub fn zones_in_use() -> BTreeMap<String, u32> {
    let zones = tables();
    let zone = |zone: &Arc<Zone>| (zone.name.clone(), zone.digest);
    zones.values().map(zone).collect()
}

/// With the name: of two zones that have the same rules, one may get others.
fn digest(name: &str, periods: &[Period]) -> u32 {
    let numbers = periods
        .iter()
        .flat_map(|period| [period.start, period.offset]);
    let bytes: Vec<u8> = numbers.flat_map(i64::to_be_bytes).collect();
    let [.., a, b, c, d] = hash::draw(name, &bytes).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn lay_out(time_zone: &TimeZone) -> Vec<Period> {
    let start = Timestamp::MIN.as_second();
    let offset = i64::from(time_zone.to_offset(Timestamp::MIN).seconds());
    let mut periods = Vec::new();
    let mut current = Period {
        start,
        end: Timestamp::MAX.as_second() + 1,
        offset,
        seen: start + offset,
    };
    for transition in time_zone.following(Timestamp::MIN) {
        let at = transition.timestamp().as_second();
        let offset = i64::from(transition.offset().seconds());
        if at >= HORIZON {
            break;
        }
        // Some transitions change only the abbreviation.
        if offset == current.offset {
            continue;
        }
        let next = Period {
            start: at,
            offset,
            seen: current.seen.max(at + current.offset),
            ..current
        };
        periods.push(Period { end: at, ..current });
        current = next;
    }
    periods.push(current);
    periods
}

/// Files beside the zones of a system's database that are none: the machine's own zone, and copies with other rules.
fn means_this_machine(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["localtime", "posixrules", "factory"].contains(&name.as_str())
        || ["posix/", "right/"]
            .iter()
            .any(|copy| name.starts_with(copy))
}

fn unknown(name: &str) -> String {
    let end = format!("/{}", name.trim().replace(' ', "_").to_lowercase());
    let near = jiff::tz::db()
        .available()
        .map(|known| known.to_string())
        .find(|known| end.len() > 1 && known.to_lowercase().ends_with(&end));
    let hint = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
    format!(
        "{name:?} is not in the tz database; expected an IANA name such as \"Europe/Paris\" or \"UTC\"{hint}"
    )
}
