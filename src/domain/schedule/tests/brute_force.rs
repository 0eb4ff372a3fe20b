//! The evaluator against a scan that shares no code with it: it asks jiff about every minute (or
//! second) around a transition, and knows the sets that a line stands for without parsing it.

use std::{collections::BTreeSet, time::Duration};

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};
use proptest::{prelude::*, sample::select};

use super::{instant, try_cron_in};

const ZONES: [&str; 22] = [
    "America/New_York",
    "Europe/Paris",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "America/Sao_Paulo",
    "America/Asuncion",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "America/St_Johns",
    "America/Caracas",
    "America/Scoresbysund",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Gaza",
    "Asia/Tehran",
    "Pacific/Norfolk",
    "Atlantic/Azores",
];

/// A field as text, with the numbers it stands for.
type Numbers = (String, BTreeSet<i8>);

fn numbers(min: i8, max: i8) -> impl Strategy<Value = Numbers> {
    let star = Just(("*".to_owned(), (min..=max).collect()));
    let step = (1..=max).prop_map(move |step| {
        (
            format!("*/{step}"),
            (min..=max).step_by(step as usize).collect(),
        )
    });
    prop_oneof![1 => star, 1 => step, 2 => few_numbers(min, max)]
}

/// What means the same whatever the field's bounds are.
fn few_numbers(min: i8, max: i8) -> impl Strategy<Value = Numbers> {
    let list = prop::collection::btree_set(min..=max, 1..4).prop_map(|set| {
        let texts: Vec<String> = set.iter().map(i8::to_string).collect();
        (texts.join(","), set)
    });
    let range = (min..=max, min..=max).prop_map(|(a, b)| {
        let (a, b) = (a.min(b), a.max(b));
        (format!("{a}-{b}"), (a..=b).collect())
    });
    prop_oneof![list, range]
}

/// A day as a line may name it.
#[derive(Clone, Debug)]
enum Day {
    Month(Numbers),
    Week(Numbers),
    BeforeLast(i8),
    Nearest(i8),
    LastWeekday,
    Nth(i8, i8),
    Last(i8),
}

impl Day {
    fn text(&self) -> String {
        match self {
            Self::Month((text, _)) | Self::Week((text, _)) => text.clone(),
            Self::BeforeLast(0) => "L".to_owned(),
            Self::BeforeLast(back) => format!("L-{back}"),
            Self::Nearest(day) => format!("{day}W"),
            Self::LastWeekday => "LW".to_owned(),
            Self::Nth(day, nth) => format!("{day}#{nth}"),
            Self::Last(day) => format!("{day}L"),
        }
    }

    fn holds(&self, date: Date) -> bool {
        let weekday = |day| Weekday::from_sunday_zero_offset(day).unwrap();
        match self {
            Self::Month((_, set)) => set.contains(&date.day()),
            Self::Week((_, set)) => set.contains(&date.weekday().to_sunday_zero_offset()),
            Self::BeforeLast(back) => date.days_in_month() - date.day() == *back,
            Self::Nearest(day) => {
                let Ok(wanted) = Date::new(date.year(), date.month(), *day) else {
                    return false;
                };
                nearest(wanted, |near| {
                    is_workday(near) && near.month() == date.month()
                }) == date
            }
            Self::LastWeekday => {
                let mut last = date.last_of_month();
                while !is_workday(last) {
                    last = last.yesterday().unwrap();
                }
                last == date
            }
            Self::Nth(day, nth) => {
                date.nth_weekday_of_month(*nth, weekday(*day)).ok() == Some(date)
            }
            Self::Last(day) => date.nth_weekday_of_month(-1, weekday(*day)).ok() == Some(date),
        }
    }
}

fn nearest(wanted: Date, fits: impl Fn(Date) -> bool) -> Date {
    let candidates = [0, -1, 1, -2, 2].map(|days| wanted.checked_add(days.days()).unwrap());
    *candidates.iter().find(|date| fits(**date)).unwrap()
}

fn is_workday(date: Date) -> bool {
    !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn days_of_month() -> impl Strategy<Value = Day> {
    prop_oneof![
        4 => numbers(1, 31).prop_map(Day::Month),
        1 => (0_i8..28).prop_map(Day::BeforeLast),
        1 => (1_i8..=28).prop_map(Day::Nearest),
        1 => (29_i8..=31).prop_map(Day::Nearest),
        1 => Just(Day::LastWeekday),
    ]
}

fn days_of_week() -> impl Strategy<Value = Day> {
    prop_oneof![
        4 => numbers(0, 6).prop_map(Day::Week),
        1 => (0_i8..7, 1_i8..5).prop_map(|(day, nth)| Day::Nth(day, nth)),
        1 => (0_i8..7).prop_map(Day::Last),
    ]
}

#[derive(Clone, Debug)]
struct Line {
    second: Option<Numbers>,
    minute: Numbers,
    hour: Numbers,
    days: (Day, Day),
}

impl Line {
    fn text(&self) -> String {
        let second = self
            .second
            .as_ref()
            .map_or(String::new(), |s| format!("{} ", s.0));
        let (day, weekday) = (self.days.0.text(), self.days.1.text());
        format!(
            "{second}{} {} {day} * {weekday}",
            self.minute.0, self.hour.0
        )
    }

    fn day_holds(&self, date: Date) -> bool {
        let (a, b) = &self.days;
        if a.text().starts_with('*') || b.text().starts_with('*') {
            a.holds(date) && b.holds(date)
        } else {
            a.holds(date) || b.holds(date)
        }
    }

    fn holds(&self, local: DateTime) -> bool {
        let second = self
            .second
            .as_ref()
            .map_or(local.second() == 0, |s| s.1.contains(&local.second()));
        second
            && self.minute.1.contains(&local.minute())
            && self.hour.1.contains(&local.hour())
            && self.day_holds(local.date())
    }

    /// Every fire in `[from, until)`.
    fn fires(&self, zone: &TimeZone, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let step = Duration::from_secs(if self.second.is_some() { 1 } else { 60 });
        if self.minute.0.starts_with('*') || self.hour.0.starts_with('*') {
            let instants = std::iter::successors(Some(from), |at| Some(*at + step));
            return instants
                .take_while(|at| *at < until)
                .filter(|at| self.holds(zone.to_datetime(*at)))
                .collect();
        }
        // The clock's face, without a zone, for long enough that a skipped day lies inside.
        let start = zone.to_datetime(from - Duration::from_secs(2 * 86_400));
        let end = zone.to_datetime(until + Duration::from_secs(2 * 86_400));
        let faces = std::iter::successors(Some(start), |local| Some(*local + step));
        let fires: BTreeSet<Timestamp> = faces
            .take_while(|local| *local < end)
            .filter(|local| self.holds(*local))
            .map(|local| once(zone, local))
            .filter(|at| (from..until).contains(at))
            .collect();
        fires.into_iter().collect()
    }
}

/// The one instant for a fixed local time.
fn once(zone: &TimeZone, local: DateTime) -> Timestamp {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).unwrap(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).unwrap(),
        AmbiguousOffset::Gap { before, .. } => {
            let inside = before.to_timestamp(local).unwrap() + Duration::from_nanos(1);
            zone.preceding(inside).next().unwrap().timestamp()
        }
    }
}

/// A zone and an instant within a day or so of one of its transitions, on a whole minute.
fn moments() -> impl Strategy<Value = (&'static str, Timestamp)> {
    let zone = select(&ZONES[..]);
    (zone, any::<prop::sample::Index>(), -1_800_i64..600).prop_map(|(name, index, minutes)| {
        let zone = TimeZone::get(name).unwrap();
        // By 1973 every offset counted whole minutes.
        let transitions: Vec<_> = zone
            .following(instant("1973-01-01T00:00:00Z"))
            .map(|transition| transition.timestamp())
            .take_while(|at| *at < instant("2040-01-01T00:00:00Z"))
            .collect();
        let transition = match &transitions[..] {
            [] => instant("2026-03-08T07:00:00Z"),
            some => *index.get(some),
        };
        let second = transition.as_second() + minutes * 60;
        (
            name,
            Timestamp::from_second(second - second.rem_euclid(60)).unwrap(),
        )
    })
}

fn any_day() -> (Day, Day) {
    let all = |min, max| ("*".to_owned(), (min..=max).collect());
    (Day::Month(all(1, 31)), Day::Week(all(0, 6)))
}

fn check(line: &Line, name: &str, from: Timestamp, length: Duration) -> Result<(), TestCaseError> {
    let until = from + length;
    let second = Duration::from_secs(1);
    // Days such as */11 and 0#3 never meet, which is refused.
    let Ok(schedule) = try_cron_in(name, &line.text()) else {
        return Ok(());
    };
    let found: Vec<_> = schedule.slots(from - second, until - second).collect();
    prop_assert_eq!(
        schedule.count(from - second, until - second),
        found.len() as u64
    );
    prop_assert_eq!(
        schedule.last_between(from - second, until - second),
        found.last().copied()
    );
    let expected = line.fires(&TimeZone::get(name).unwrap(), from, until);
    prop_assert_eq!(found, expected, "{} in {} from {}", line.text(), name, from);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_minute_around_a_transition_agrees(
        (name, from) in moments(),
        minute in numbers(0, 59),
        hour in prop_oneof![3 => numbers(0, 23), 1 => few_numbers(0, 4)],
        days in prop_oneof![2 => Just(any_day()), 1 => (days_of_month(), days_of_week())],
    ) {
        let line = Line { second: None, minute, hour, days };
        check(&line, name, from, Duration::from_secs(2 * 86_400))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_second_around_a_transition_agrees(
        (name, from) in moments(),
        second in numbers(0, 59),
        minute in numbers(0, 59),
        hour in few_numbers(0, 4),
    ) {
        let line = Line { second: Some(second), minute, hour, days: any_day() };
        check(&line, name, from, Duration::from_secs(3 * 3_600))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_day_of_three_years_agrees(
        days in (days_of_month(), days_of_week()), year in 1995_i16..2105,
    ) {
        let only = |number: i8| (number.to_string(), BTreeSet::from([number]));
        let line = Line { second: None, minute: only(0), hour: only(12), days };
        let Ok(schedule) = try_cron_in("UTC", &line.text()) else {
            return Ok(());
        };
        let first = jiff::civil::date(year, 1, 1);
        let noon = |date: Date| date.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
        let expected: Vec<_> = first.series(1.day()).take(3 * 365).filter(|d| line.day_holds(*d)).map(noon).collect();
        let last = noon(first.checked_add((3 * 365 - 1).days()).unwrap());
        let found: Vec<_> = schedule.slots(noon(first) - Duration::from_secs(1), last).collect();
        prop_assert_eq!(found, expected, "{} in {}", line.text(), year);
    }
}
