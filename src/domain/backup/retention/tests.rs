//! What must hold of every plan, and what single rules say.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::backup::PointState;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn good(id: u128, frozen_at: Timestamp) -> PointFacts {
    PointFacts {
        id: Uuid::from_u128(id),
        frozen_at,
        state: PointState::Complete,
        verified: true,
        drilled: false,
        damaged: false,
        pinned: None,
        in_use: false,
    }
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn kept(plan: &Plan) -> Vec<u128> {
    let kept = plan.decisions.iter().filter(|decision| decision.keep);
    kept.map(|decision| decision.id.as_u128()).collect()
}

fn daily_points(count: i64, first: &str) -> Vec<PointFacts> {
    let first = at(first);
    (0..count)
        .map(|day| {
            good(
                day as u128 + 1,
                first + SignedDuration::from_hours(24 * day),
            )
        })
        .collect()
}

#[test]
fn the_newest_of_each_period_stays_in_the_zone_that_is_asked_for() {
    // 16:30 UTC is the next day in Singapore.
    let points = [
        good(1, at("2026-03-01T15:00:00Z")),
        good(2, at("2026-03-01T16:30:00Z")),
        good(3, at("2026-03-02T15:00:00Z")),
        good(4, at("2026-03-02T17:00:00Z")),
        good(5, at("2026-03-03T17:00:00Z")),
        good(6, at("2026-03-04T17:00:00Z")),
        good(7, at("2026-03-05T17:00:00Z")),
    ];
    let retention = Retention {
        daily: 6,
        ..Retention::default()
    };
    let now = at("2026-03-06T00:00:00Z");
    let plan = |name| plan(&points, &retention, now, &zone(name), &Freeze::No);
    assert_eq!(kept(&plan("Asia/Singapore")), [7, 6, 5, 4, 3, 1]);
    assert_eq!(kept(&plan("UTC")), [7, 6, 5, 4, 2]);
    let reasons = &plan("Asia/Singapore").decisions[3].reasons;
    assert_eq!(*reasons, ["daily 2026-03-03"]);
}

#[test]
fn a_day_begins_and_ends_where_the_zone_says() {
    // Each is the first instant of the day, and that of the next.
    for (name, days, begin, end) in [
        (
            "Asia/Singapore",
            ["2026-03-07", "2026-03-08", "2026-03-09"],
            "2026-03-07T16:00:00Z",
            "2026-03-08T16:00:00Z",
        ),
        (
            "America/New_York",
            ["2026-03-07", "2026-03-08", "2026-03-09"],
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
        ),
        (
            "America/New_York",
            ["2026-10-31", "2026-11-01", "2026-11-02"],
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        ),
        (
            "Australia/Lord_Howe",
            ["2026-04-04", "2026-04-05", "2026-04-06"],
            "2026-04-04T13:00:00Z",
            "2026-04-05T13:30:00Z",
        ),
        (
            "Australia/Lord_Howe",
            ["2026-10-03", "2026-10-04", "2026-10-05"],
            "2026-10-03T13:30:00Z",
            "2026-10-04T13:00:00Z",
        ),
    ] {
        let (begin, end, second) = (at(begin), at(end), SignedDuration::from_secs(1));
        let instants = [begin - second, begin, end - second, end];
        let numbered = (1..).zip(instants);
        let points: Vec<PointFacts> = numbered.map(|(id, at)| good(id, at)).collect();
        let retention = Retention {
            daily: 10,
            ..Retention::default()
        };
        let plan = plan(&points, &retention, end, &zone(name), &Freeze::No);
        let daily = |decision: &Decision| {
            let mut reasons = decision.reasons.iter();
            reasons.find_map(|reason| reason.strip_prefix("daily ").map(str::to_owned))
        };
        let found: Vec<Option<String>> = plan.decisions.iter().rev().map(daily).collect();
        let expected = [Some(days[0]), None, Some(days[1]), Some(days[2])];
        assert_eq!(found, expected.map(|day| day.map(str::to_owned)), "{name}");
    }
}

#[test]
fn what_is_not_good_is_kept_a_week_or_until_something_newer_is_good() {
    let points = |partial: &str| {
        let mut points = daily_points(20, "2026-03-01T02:00:00Z");
        let mut point = good(100, at(partial));
        point.state = PointState::Partial;
        points.push(point);
        points
    };
    let now = at("2026-03-20T12:00:00Z");
    let reasons = |partial| {
        let plan = plan(
            &points(partial),
            &Retention::last(20),
            now,
            &TimeZone::UTC,
            &Freeze::No,
        );
        assert_eq!(kept(&plan).iter().filter(|id| **id < 100).count(), 20);
        let mut decisions = plan.decisions.into_iter();
        decisions
            .find(|decision| decision.id.as_u128() == 100)
            .unwrap()
    };
    let newest = reasons("2026-03-20T03:00:00Z");
    assert!(newest.keep && newest.reasons == ["partial, and nothing newer is good"]);
    let young = reasons("2026-03-14T03:00:00Z");
    assert!(young.keep && young.reasons == ["partial, kept for 7 days to look at"]);
    let old = reasons("2026-03-13T03:00:00Z");
    assert!(!old.keep && old.reasons == ["no rule keeps it"]);
}

#[test]
fn what_a_wrong_clock_dated_ahead_is_kept_and_takes_no_place() {
    let mut points = daily_points(9, "2026-03-01T02:00:00Z");
    points.extend((100..107).map(|id| good(id, at("2027-01-01T00:00:00Z"))));
    let now = at("2026-03-10T00:00:00Z");
    let last = Retention::last(5);
    let plan = plan(&points, &last, now, &TimeZone::UTC, &Freeze::No);
    let ahead = [106, 105, 104, 103, 102, 101, 100];
    assert_eq!(kept(&plan), [&ahead[..], &[9, 8, 7, 6, 5]].concat());
    assert!(plan.decisions[0].reasons[0].contains("clock"));
}

#[test]
fn an_hour_that_occurs_twice_is_two_and_one_that_is_skipped_is_none() {
    let retention = Retention {
        hourly: 100,
        ..Retention::default()
    };
    for (zone_name, first) in [
        ("America/New_York", "2026-11-01T04:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T13:15:00Z"),
    ] {
        let first = at(first);
        let points: Vec<PointFacts> = (0..4)
            .map(|hour| good(hour as u128 + 1, first + SignedDuration::from_hours(hour)))
            .collect();
        let now = first + SignedDuration::from_hours(9);
        let plan = plan(&points, &retention, now, &zone(zone_name), &Freeze::No);
        let hours: BTreeSet<&String> = plan
            .decisions
            .iter()
            .flat_map(|decision| &decision.reasons)
            .filter(|reason| reason.starts_with("hourly"))
            .collect();
        assert_eq!(hours.len(), 4, "{zone_name}: {hours:?}");
    }
}

#[test]
fn ceilings_stand_above_rules_and_floors_above_ceilings() {
    let points = daily_points(10, "2026-01-01T02:00:00Z");
    let retention = Retention {
        last: 10,
        max_count: Some(5),
        max_age: Some(Duration::from_secs(86_400)),
        ..Retention::default()
    };
    let now = at("2026-06-01T00:00:00Z");
    let plan = plan(&points, &retention, now, &TimeZone::UTC, &Freeze::No);
    assert_eq!(kept(&plan), [10, 9, 8]);
    assert_eq!(plan.decisions[5].reasons, ["over max_age 1d"]);
    assert!(plan.needs_confirmation());
}

#[test]
fn sixty_days_of_failures_remove_nothing() {
    let mut points = daily_points(30, "2026-01-01T02:00:00Z");
    // Since then every run was partial.
    for day in 0..60 {
        let mut point = good(
            100 + day as u128,
            at("2026-01-31T02:00:00Z") + SignedDuration::from_hours(24 * day),
        );
        point.state = PointState::Partial;
        points.push(point);
    }
    let retention = Retention::last(30);
    let now = at("2026-04-01T00:00:00Z");
    let why = Freeze::Frozen("two periods have passed".to_owned());
    for freeze in [why, Freeze::No] {
        let plan = plan(&points, &retention, now, &TimeZone::UTC, &freeze);
        assert_eq!(kept(&plan).len(), points.len());
    }
}

#[test]
fn what_is_frozen_stays_and_says_why() {
    let points = daily_points(40, "2026-01-01T02:00:00Z");
    let now = at("2026-03-01T00:00:00Z");
    let frozen = Freeze::Frozen("the last drill failed".to_owned());
    let plan = plan(&points, &Retention::last(30), now, &TimeZone::UTC, &frozen);
    assert_eq!(kept(&plan).len(), 40);
    assert_eq!(
        plan.decisions[39].reasons,
        ["frozen: the last drill failed"]
    );
    assert!(!plan.needs_confirmation());
}

#[test]
fn over_thirty_percent_of_any_number_is_confirmed_but_for_what_new_ones_push_out() {
    let now = at("2026-06-01T00:00:00Z");
    for (points, last, confirmed) in [
        (4, 3, false),
        (5, 3, true),
        (6, 4, true),
        (10, 7, false),
        (10, 6, true),
        (40, 30, false),
    ] {
        let points = daily_points(points, "2026-01-01T02:00:00Z");
        let mut plan = plan(
            &points,
            &Retention::last(last),
            now,
            &TimeZone::UTC,
            &Freeze::No,
        );
        assert_eq!(plan.needs_confirmation(), confirmed, "{points:?} {last}");
        plan.new = points.len() - last as usize;
        assert!(!plan.needs_confirmation(), "each new one pushes one out");
    }
}

#[test]
fn rules_that_keep_nothing_and_numbers_out_of_bounds_are_refused() {
    let field = |retention: Retention| match retention.check() {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(Retention::default()), "keep_last");
    assert_eq!(field(Retention::last(10_001)), "keep_last");
    let zero = Retention {
        max_count: Some(0),
        ..Retention::last(1)
    };
    assert_eq!(field(zero), "max_count");
    let none = Retention {
        within: Some(Duration::ZERO),
        ..Retention::default()
    };
    assert_eq!(field(none), "keep_within");
    assert!(Retention::last(1).check().is_ok());
}

fn points() -> impl Strategy<Value = Vec<PointFacts>> {
    let point = (0_i64..4000, any::<bool>(), 0_u8..4, 0_u8..12);
    proptest::collection::vec(point, 0..60).prop_map(|points| {
        let begin = at("2026-01-01T00:00:00Z");
        let make = |(index, (hours, verified, state, held)): (usize, (i64, bool, u8, u8))| {
            let mut point = good(index as u128 + 1, begin + SignedDuration::from_hours(hours));
            point.verified = verified || 0 < state;
            if state == 1 {
                point.state = PointState::Partial;
            }
            point.pinned = (held == 0).then(|| "ada: why".to_owned());
            point.in_use = held == 1;
            point
        };
        points.into_iter().enumerate().map(make).collect()
    })
}

fn retention() -> impl Strategy<Value = Retention> {
    let counts = [0_u32..9, 0..9, 0..9, 0..9, 0..9, 0..9];
    let spans = (
        proptest::option::of(1_u64..400),
        proptest::option::of(1_u64..4000),
    );
    let max_count = proptest::option::of(1_u32..20);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    (counts, spans, max_count).prop_map(move |(counts, (within, age), max_count)| Retention {
        last: counts[0],
        hourly: counts[1],
        daily: counts[2],
        weekly: counts[3],
        monthly: counts[4],
        yearly: counts[5],
        within: within.map(hours),
        max_age: age.map(hours),
        max_count,
    })
}

proptest! {
    #[test]
    fn floors_hold_and_a_plan_over_what_it_kept_removes_nothing(points in points(), retention in retention()) {
        let now = at("2026-07-01T00:00:00Z");
        let zone = zone("Europe/Paris");
        let first = plan(&points, &retention, now, &zone, &Freeze::No);
        prop_assert_eq!(first.decisions.len(), points.len());
        let kept: BTreeSet<Uuid> = first.decisions.iter().filter(|one| one.keep).map(|one| one.id).collect();
        for decision in &first.decisions {
            prop_assert!(!decision.reasons.is_empty());
        }
        let mut good: Vec<&PointFacts> = points
            .iter()
            .filter(|point| point.verified && point.state == PointState::Complete)
            .collect();
        good.sort_by_key(|point| std::cmp::Reverse((point.frozen_at, point.id)));
        for point in good.iter().take(3).copied().chain(points.iter().filter(|point| point.pinned.is_some() || point.in_use)) {
            prop_assert!(kept.contains(&point.id));
        }
        let left: Vec<PointFacts> = points.iter().filter(|point| kept.contains(&point.id)).cloned().collect();
        let second = plan(&left, &retention, now, &zone, &Freeze::No);
        prop_assert!(second.decisions.iter().all(|one| one.keep), "{:?}", second);
    }

    #[test]
    fn who_keeps_more_removes_no_more(points in points(), retention in retention()) {
        let now = at("2026-07-01T00:00:00Z");
        let bounded = Retention { max_age: None, max_count: None, ..retention };
        let more = Retention {
            last: bounded.last + 1,
            daily: bounded.daily + 1,
            yearly: bounded.yearly + 1,
            within: bounded.within.map(|within| within * 2),
            ..bounded.clone()
        };
        let less = plan(&points, &bounded, now, &TimeZone::UTC, &Freeze::No);
        let more = plan(&points, &more, now, &TimeZone::UTC, &Freeze::No);
        for (less, more) in less.decisions.iter().zip(&more.decisions) {
            prop_assert!(!less.keep || more.keep, "{less:?} {more:?}");
        }
    }

    #[test]
    fn higher_ceilings_remove_no_more(points in points(), retention in retention(), higher in 1_u32..10) {
        let now = at("2026-07-01T00:00:00Z");
        let more = Retention {
            max_count: retention.max_count.map(|count| count + higher),
            max_age: retention.max_age.map(|age| age * (higher + 1)),
            ..retention.clone()
        };
        let less = plan(&points, &retention, now, &TimeZone::UTC, &Freeze::No);
        let more = plan(&points, &more, now, &TimeZone::UTC, &Freeze::No);
        for (less, more) in less.decisions.iter().zip(&more.decisions) {
            prop_assert!(!less.keep || more.keep, "{less:?} {more:?}");
        }
    }

    #[test]
    fn retention_is_read_back_from_json(retention in retention()) {
        prop_assume!(retention.check().is_ok());
        let json = serde_json::to_string(&retention).unwrap();
        prop_assert_eq!(serde_json::from_str::<Retention>(&json).unwrap(), retention);
    }
}
