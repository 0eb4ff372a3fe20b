//! Every zone there is, and the hours around every change of its offset.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time, date},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use super::line::{Line, Near};

/// How far a window reaches to either side of its change.
const AROUND: SignedDuration = SignedDuration::from_hours(36);

/// A zone by one of its names.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) time_zone: TimeZone,
}

/// A moment at which a zone's offset changes; the offsets are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) at: Timestamp,
    pub(super) before: i32,
    pub(super) after: i32,
}

/// A span of real time with a change in its middle.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) zone: Arc<Zone>,
    pub(super) from: Timestamp,
    /// Excluded.
    pub(super) until: Timestamp,
    /// All changes within, nearly always one.
    pub(super) changes: Vec<Change>,
    /// What the clock on the wall shows at each minute.
    pub(super) minutes: Vec<Face>,
    pub(super) near: Near,
}

/// A clock's face, to the minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Face {
    pub(super) date: Date,
    pub(super) hour: i8,
    pub(super) minute: i8,
}

impl Zone {
    /// Every zone of the tz database with its changes in these years of UTC; those that changed alike
    /// are one.
    pub(super) fn all(years: RangeInclusive<i16>) -> Vec<(Arc<Self>, Vec<Change>)> {
        let (from, until) = (new_year(*years.start()), new_year(*years.end() + 1));
        let system = jiff::tz::db().available();
        let bundled = TimeZoneDatabase::bundled();
        let mut names: Vec<String> = system
            .chain(bundled.available())
            .map(|name| name.to_string())
            .collect();
        // The links of old, such as EST5EDT, have no slash: they come last.
        names.sort_by_key(|name| (!name.contains('/'), name.clone()));
        names.dedup();
        let mut alike = BTreeMap::new();
        for name in names {
            let found = TimeZone::get(&name).or_else(|_| bundled.get(&name));
            let time_zone = found.unwrap();
            let changes = changes(&time_zone, from, until);
            let key = (time_zone.to_offset(from).seconds(), changes.clone());
            let zone = || (Arc::new(Self { name, time_zone }), changes);
            alike.entry(key).or_insert_with(zone);
        }
        alike.into_values().collect()
    }
}

fn new_year(year: i16) -> Timestamp {
    let first = date(year, 1, 1).to_zoned(TimeZone::UTC);
    first.unwrap().timestamp()
}

fn changes(zone: &TimeZone, from: Timestamp, until: Timestamp) -> Vec<Change> {
    let mut before = zone.to_offset(from).seconds();
    let transitions = zone.following(from);
    let mut changes = Vec::new();
    for transition in transitions.take_while(|transition| transition.timestamp() < until) {
        let (at, after) = (transition.timestamp(), transition.offset().seconds());
        // Some transitions change only the abbreviation.
        if before != after {
            changes.push(Change { at, before, after });
        }
        before = after;
    }
    changes
}

impl Change {
    /// What the clock on the wall would have shown without it, and what it shows.
    fn faces(&self) -> [DateTime; 2] {
        [self.before, self.after].map(|offset| {
            let offset = jiff::tz::Offset::from_seconds(offset).unwrap();
            offset.to_datetime(self.at)
        })
    }
}

impl Face {
    fn of(local: DateTime) -> Self {
        Self {
            date: local.date(),
            hour: local.hour(),
            minute: local.minute(),
        }
    }
}

impl Window {
    pub(super) fn around(zone: &Arc<Zone>, change: &Change) -> Self {
        let (from, until) = (change.at - AROUND, change.at + AROUND);
        let changes = changes(&zone.time_zone, from, until);
        // What is scanned are whole minutes. Since 1973 no zone has counted anything else.
        let odd = |change: &Change| change.before % 60 != 0 || change.at.as_second() % 60 != 0;
        assert!(!changes.iter().any(odd), "{}: {changes:?}", zone.name);
        let minute = SignedDuration::from_mins(1);
        let every_minute = std::iter::successors(Some(from), |at| Some(*at + minute));
        Self {
            minutes: every_minute
                .take_while(|at| *at < until)
                .map(|at| Face::of(zone.time_zone.to_datetime(at)))
                .collect(),
            zone: zone.clone(),
            from,
            until,
            near: near(&changes),
            changes,
        }
    }

    /// Why cronsim's word on a line counts nothing here: where it leaves Debian's rule.
    ///
    /// It is right about every fixed time. For a line that follows elapsed time, Debian's cron asks
    /// each minute whether it matches. cronsim leaps instead, and does not always land where it
    /// meant to:
    ///
    /// - From hour to hour it leaps by 3,600 s from a full hour, and to a minute by their difference.
    ///   Where the clock is set by half an hour, or at 00:01 as in St John's, or at 02:45 as on Chatham,
    ///   it lands beyond minutes that match, or comes back to the same minute for ever.
    /// - From day to day it leaps to midnight. One that does not exist it takes for the gap's end, and
    ///   sees hour 0 there: `*/30 0 * * 5` runs at 01:00 in Cairo. Where the clock is set back over
    ///   midnight, as at Casey station in 2010, it leaps from the evening that returns to the same
    ///   midnight for ever. Only a line that leaves out days leaps there.
    pub(super) fn beyond_cronsim(&self, line: &Line) -> Option<&'static str> {
        if !line.is_elapsed() {
            return None;
        }
        let odd = |change: &Change| {
            let faces = change.faces();
            (change.after - change.before) % 3_600 != 0 || faces[0].minute() != 0
        };
        if self.changes.iter().any(odd) {
            return Some("elapsed time over a change that is not from full hour to full hour");
        }
        if !line.is_of_every_day() && (self.skips_a_midnight() || self.repeats_a_midnight()) {
            return Some(
                "elapsed time on some days, over a midnight that is skipped or comes again",
            );
        }
        None
    }

    fn skips_a_midnight(&self) -> bool {
        let (first, last) = self.dates();
        let mut dates = first
            .series(jiff::ToSpan::day(1))
            .take_while(|date| *date <= last);
        dates.any(|date| {
            let midnight = date.to_datetime(Time::midnight());
            let found = self.zone.time_zone.to_ambiguous_timestamp(midnight);
            matches!(found.offset(), AmbiguousOffset::Gap { .. })
        })
    }

    fn repeats_a_midnight(&self) -> bool {
        self.changes.iter().any(|change| {
            let [before, after] = change.faces();
            // What it showed last before it was set.
            let before = before - jiff::ToSpan::second(1);
            after.date() < before.date()
        })
    }

    /// The first and the last date that the clock shows.
    pub(super) fn dates(&self) -> (Date, Date) {
        let zone = &self.zone.time_zone;
        let (first, last) = (zone.to_datetime(self.from), zone.to_datetime(self.until));
        (first.date(), last.date())
    }
}

fn near(changes: &[Change]) -> Near {
    let mut near = Near {
        minutes: vec![0, 1, 15, 29, 30, 45, 59],
        ..Near::default()
    };
    for face in changes.iter().flat_map(Change::faces) {
        let hour = face.hour() as u8;
        near.minutes.push(face.minute() as u8);
        near.hours
            .extend([(hour + 23) % 24, hour, hour, (hour + 1) % 24]);
        for date in [
            face.date().yesterday().unwrap(),
            face.date(),
            face.date().tomorrow().unwrap(),
        ] {
            near.month_days.push(date.day() as u8);
            near.months.push(date.month() as u8);
            near.week_days
                .push(date.weekday().to_sunday_zero_offset() as u8);
        }
    }
    near
}
