//! The clock's changes: the paper's table, then the odd zones.

use super::{between, cron_in, instant, local};

#[test]
fn the_table_of_the_design_holds() {
    let table = include_str!("../dst.csv");
    let mut rows = 0;
    for row in table.lines().skip(1) {
        let fields = split(row);
        let [zone, case, cron, start, end, expected] = &fields[..] else {
            panic!("{row}");
        };
        let found: Vec<String> = between(&cron_in(zone, cron), start, end)
            .map(|slot| slot.to_string())
            .collect();
        assert_eq!(found.join(" "), *expected, "{zone}: {case}");
        rows += 1;
    }
    assert_eq!(rows, 7);
}

/// Splits a row; only a field with a list is in quotes.
fn split(row: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in row.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

#[test]
fn a_gap_of_half_an_hour_moves_a_fixed_time_to_its_end() {
    // Lord Howe: 02:00 +10:30 becomes 02:30 +11 on 2026-10-04.
    let (from, until) = ("2026-10-03T12:00:00Z", "2026-10-04T12:00:00Z");
    let fires = |cron| local(&cron_in("Australia/Lord_Howe", cron), from, until);
    assert_eq!(fires("15 2 * * *"), ["2026-10-04T02:30"]);
    assert_eq!(
        fires("0,10,40 2 * * *"),
        ["2026-10-04T02:30", "2026-10-04T02:40"]
    );
    let hourly = fires("0 * * * *");
    assert!(!hourly.contains(&"2026-10-04T02:00".to_owned()));
    assert!(hourly.contains(&"2026-10-04T03:00".to_owned()));
}

#[test]
fn an_overlap_of_half_an_hour_runs_a_fixed_time_once() {
    // Lord Howe: 02:00 +11 becomes 01:30 +10:30 on 2026-04-05.
    let schedule = cron_in("Australia/Lord_Howe", "45 1 * * *");
    let fires: Vec<_> =
        between(&schedule, "2026-04-04T10:00:00Z", "2026-04-05T10:00:00Z").collect();
    assert_eq!(fires, [instant("2026-04-04T14:45:00Z")]);
    let elapsed = cron_in("Australia/Lord_Howe", "*/15 1 * * *");
    let fires = local(&elapsed, "2026-04-04T10:00:00Z", "2026-04-05T10:00:00Z");
    let times = ["01:00", "01:15", "01:30", "01:45", "01:30", "01:45"];
    assert_eq!(fires, times.map(|time| format!("2026-04-05T{time}")));
}

#[test]
fn a_day_that_is_skipped_runs_at_its_end() {
    let schedule = cron_in("Pacific/Apia", "30 2 * * *");
    let fires = local(&schedule, "2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z");
    let expected = [
        "2011-12-29T02:30",
        "2011-12-31T00:00",
        "2011-12-31T02:30",
        "2012-01-01T02:30",
    ];
    assert_eq!(fires[..], expected[..fires.len()]);
    assert!(fires.len() >= 3);
    // The thirtieth itself, as a date, is not lost either.
    let schedule = cron_in("Pacific/Apia", "0 12 30 12 *");
    let fires = local(&schedule, "2011-12-01T00:00:00Z", "2012-01-31T00:00:00Z");
    assert_eq!(fires, ["2011-12-31T00:00"]);
}

#[test]
fn a_midnight_that_does_not_exist_runs_at_one() {
    let schedule = cron_in("America/Sao_Paulo", "@daily");
    let fires = local(&schedule, "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z");
    assert_eq!(fires, ["2018-11-04T01:00", "2018-11-05T00:00"]);
    let schedule = cron_in("Africa/Cairo", "0 0 * * *");
    let fires = local(&schedule, "2024-04-25T12:00:00Z", "2024-04-27T12:00:00Z");
    assert_eq!(fires, ["2024-04-26T01:00", "2024-04-27T00:00"]);
}

#[test]
fn a_midnight_that_occurs_twice_runs_once() {
    // Cairo: midnight of 2024-11-01 becomes 23:00 of the day before.
    let schedule = cron_in("Africa/Cairo", "30 23 * * *");
    let fires: Vec<_> =
        between(&schedule, "2024-10-31T12:00:00Z", "2024-11-01T12:00:00Z").collect();
    assert_eq!(fires, [instant("2024-10-31T20:30:00Z")]);
}

#[test]
fn six_fields_follow_the_same_rule() {
    let (from, until) = ("2026-03-08T05:00:00Z", "2026-03-08T12:00:00Z");
    let gap = local(&cron_in("America/New_York", "*/10 30 2 * * *"), from, until);
    assert_eq!(gap, ["2026-03-08T03:00"]);
    let (from, until) = ("2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z");
    let overlap = local(&cron_in("America/New_York", "*/30 30 1 * * *"), from, until);
    assert_eq!(overlap, ["2026-11-01T01:30", "2026-11-01T01:30:30"]);
    let elapsed = local(&cron_in("America/New_York", "0 30 */1 * * *"), from, until);
    assert_eq!(elapsed.len(), 4);
}

#[test]
fn a_fixed_time_at_the_gaps_end_is_not_run_twice() {
    let (from, until) = ("2026-03-08T05:00:00Z", "2026-03-08T12:00:00Z");
    let fires = local(&cron_in("America/New_York", "0,30 2,3 * * *"), from, until);
    assert_eq!(fires, ["2026-03-08T03:00", "2026-03-08T03:30"]);
}

#[test]
fn local_mean_time_with_its_odd_seconds_is_stepped_over() {
    // Amsterdam kept +00:19:32 until 1937; Paris left +00:09:21 in 1911.
    let schedule = cron_in("Europe/Paris", "0 12 * * *");
    let fires: Vec<_> =
        between(&schedule, "1911-03-09T00:00:00Z", "1911-03-12T00:00:00Z").collect();
    assert_eq!(fires.len(), 3);
    assert_eq!(fires[0], instant("1911-03-09T11:50:39Z"));
    assert_eq!(fires[2], instant("1911-03-11T12:00:00Z"));
}
