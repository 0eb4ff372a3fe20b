//! A time zone as a table of periods of constant offset, so that stepping asks jiff nothing.
//!
//! Tables are shared by name. One is built again when the tz database's rules for the name differ
//! from those it was built from, so an update reaches every schedule parsed after it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

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
    periods: Vec<Period>,
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
        // A system may have fewer names than there are, such as those that Debian keeps apart.
        let found = TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name));
        let Ok(time_zone) = found else {
            return Err(unknown(name));
        };
        let name = time_zone.iana_name().unwrap_or(name).to_owned();
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = tables.get(&name).filter(|zone| zone.time_zone == time_zone) {
            return Ok(zone.clone());
        }
        let zone = Arc::new(Self {
            periods: lay_out(&time_zone),
            time_zone,
            name: name.clone(),
        });
        tables.insert(name, zone.clone());
        Ok(zone)
    }

    /// The periods from the one that holds `instant` on.
    pub(super) fn periods_from(&self, instant: i64) -> &[Period] {
        let after = self.periods.partition_point(|p| p.start <= instant);
        &self.periods[after.saturating_sub(1)..]
    }
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
