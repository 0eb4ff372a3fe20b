//! Every form that a cron field may take.

use super::{cron_in, local};

/// The dates on which a line fires in a span of UTC.
fn dates(cron: &str, from: &str, until: &str) -> Vec<String> {
    let schedule = cron_in("UTC", cron);
    let (from, until) = (format!("{from}T00:00:00Z"), format!("{until}T00:00:00Z"));
    let fires = local(&schedule, &from, &until);
    let mut dates: Vec<String> = fires.iter().map(|fire| fire[5..10].to_owned()).collect();
    dates.dedup();
    dates
}

/// The times of day at which a line fires on one day of UTC.
fn times(cron: &str) -> Vec<String> {
    let fires = local(
        &cron_in("UTC", cron),
        "2026-06-01T00:00:00Z",
        "2026-06-02T00:00:00Z",
    );
    fires.iter().map(|fire| fire[11..].to_owned()).collect()
}

#[test]
fn numbers_lists_ranges_and_steps_are_read() {
    assert_eq!(times("30 2 * * *"), ["02:30"]);
    assert_eq!(
        times("5,10 2,4 * * *"),
        ["02:05", "02:10", "04:05", "04:10"]
    );
    assert_eq!(times("0 8-10 * * *"), ["08:00", "09:00", "10:00"]);
    assert_eq!(times("*/20 3 * * *"), ["03:00", "03:20", "03:40"]);
    assert_eq!(times("0-30/15 3 * * *"), ["03:00", "03:15", "03:30"]);
    assert_eq!(times("40/10 3 * * *"), ["03:40", "03:50"]);
    assert_eq!(
        times("0,30-32,*/50 3 * * *"),
        ["03:00", "03:30", "03:31", "03:32", "03:50"]
    );
    assert_eq!(times("0 */12 ? * ?"), ["00:00", "12:00"]);
    assert_eq!(times("  0\t6  * * * "), ["06:00"]);
}

#[test]
fn six_fields_begin_with_seconds() {
    assert_eq!(times("15,45 30 2 * * *"), ["02:30:15", "02:30:45"]);
    assert_eq!(times("*/20 59 23 * * *"), ["23:59", "23:59:20", "23:59:40"]);
    assert_eq!(times("0 * * * * *").len(), 1_440);
}

#[test]
fn names_are_read_in_any_case() {
    assert_eq!(
        dates("0 0 1 jan,JUL *", "2026-01-01", "2027-01-01"),
        ["01-01", "07-01"]
    );
    assert_eq!(
        dates("0 0 1 Feb-apr *", "2026-01-01", "2027-01-01"),
        ["02-01", "03-01", "04-01"]
    );
    assert_eq!(
        dates("0 0 * * mon", "2026-06-01", "2026-06-15"),
        ["06-01", "06-08"]
    );
}

#[test]
fn sunday_is_0_and_7_and_may_end_a_range() {
    // 2026-06-05 is a Friday.
    for cron in [
        "0 0 * * 5-7",
        "0 0 * * FRI-SUN",
        "0 0 * * 5,6,0",
        "0 0 * * FRI-7",
    ] {
        assert_eq!(
            dates(cron, "2026-06-01", "2026-06-08"),
            ["06-05", "06-06", "06-07"],
            "{cron}"
        );
    }
    for cron in ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * 7-7"] {
        assert_eq!(
            dates(cron, "2026-06-01", "2026-06-15"),
            ["06-07", "06-14"],
            "{cron}"
        );
    }
    assert_eq!(dates("0 0 * * 0-7", "2026-06-01", "2026-06-08").len(), 7);
}

#[test]
fn last_days_of_the_month_are_counted_from_its_end() {
    let year = |cron| dates(cron, "2028-01-01", "2028-05-01");
    assert_eq!(year("0 0 L * *"), ["01-31", "02-29", "03-31", "04-30"]);
    assert_eq!(year("0 0 l-3 * *"), ["01-28", "02-26", "03-28", "04-27"]);
    assert_eq!(year("0 0 L-30 * *"), ["01-01", "03-01"]);
    assert_eq!(year("0 0 1,L * *").len(), 8);
}

#[test]
fn the_nearest_weekday_stays_within_the_month() {
    // August 2026 begins on a Saturday, November on a Sunday; May 31 is a Sunday.
    assert_eq!(dates("0 0 1W * *", "2026-08-01", "2026-09-01"), ["08-03"]);
    assert_eq!(dates("0 0 1W * *", "2026-11-01", "2026-12-01"), ["11-02"]);
    assert_eq!(dates("0 0 31W * *", "2026-05-01", "2026-07-01"), ["05-29"]);
    assert_eq!(dates("0 0 15w * *", "2026-08-01", "2026-09-01"), ["08-14"]);
    assert_eq!(dates("0 0 16W * *", "2026-08-01", "2026-09-01"), ["08-17"]);
    assert_eq!(dates("0 0 12W * *", "2026-08-01", "2026-09-01"), ["08-12"]);
    assert_eq!(
        dates("0 0 LW * *", "2026-05-01", "2026-08-01"),
        ["05-29", "06-30", "07-31"]
    );
    assert_eq!(dates("0 0 LW * *", "2026-10-01", "2026-11-01"), ["10-30"]);
}

#[test]
fn weekdays_are_counted_within_the_month() {
    let june = |cron| dates(cron, "2026-06-01", "2026-07-01");
    assert_eq!(june("0 0 * * FRI#2"), ["06-12"]);
    assert_eq!(june("0 0 * * 1#1,1#5"), ["06-01", "06-29"]);
    assert_eq!(june("0 0 * * 7#1"), ["06-07"]);
    assert_eq!(june("0 0 * * 5L"), ["06-26"]);
    assert_eq!(june("0 0 * * monl"), ["06-29"]);
    assert_eq!(june("0 0 * * FRI#5"), Vec::<String>::new());
}

#[test]
fn either_day_field_is_enough_unless_one_starts_with_a_star() {
    let june = |cron| dates(cron, "2026-06-01", "2026-07-01");
    assert_eq!(
        june("0 0 13 * FRI"),
        ["06-05", "06-12", "06-13", "06-19", "06-26"]
    );
    assert_eq!(june("0 0 */12 * MON"), ["06-01"]);
    assert_eq!(june("0 0 1-7 * */5"), ["06-05", "06-07"]);
    assert_eq!(june("0 0 ? * MON").len(), 5);
    assert_eq!(june("0 0 13 * ?"), ["06-13"]);
    assert_eq!(june("0 0 1-31/12 * MON").len(), 7);
}

#[test]
fn macros_stand_for_their_lines() {
    for (name, line) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        (" @ANNUALLY ", "0 0 1 1 *"),
    ] {
        let fires = |cron| {
            local(
                &cron_in("UTC", cron),
                "2026-01-01T00:00:00Z",
                "2027-02-01T00:00:00Z",
            )
        };
        assert_eq!(fires(name), fires(line), "{name}");
    }
}

#[test]
fn h_is_drawn_from_the_name_and_stays_the_same() {
    // These are promises: another hash would move every task at the next release.
    assert_eq!(times("H H * * *"), times("H H * * *"));
    assert_eq!(times("H H * * *").len(), 1);
    assert_eq!(times("H(0-9) H(1-3) * * *").len(), 1);
    let time = times("H(0-9) H(1-3) * * *").remove(0);
    assert!(("01:00".."03:10").contains(&time.as_str()), "{time}");
    let quarters = times("h/15 4 * * *");
    assert_eq!(quarters.len(), 4);
    assert!(quarters[0].as_str() < "04:15");
    assert_eq!(times("H(30-59)/10 4 * * *").len(), 3);
    assert_eq!(dates("0 0 H * *", "2026-01-01", "2027-01-01").len(), 12);
    assert_eq!(dates("0 0 * * H", "2026-06-01", "2026-06-08").len(), 1);
    assert_eq!(times("H H * * *"), ["05:49"]);
}
