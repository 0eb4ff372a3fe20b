//! Which days are read in which form, and what is told of others.

use super::*;

fn form(sample: &str) -> Option<DayForm> {
    DayForm::read("header.date_format", sample).unwrap()
}

#[test]
fn a_day_is_read_as_the_sample_says() {
    for (sample, given, iso) in [
        ("31.12.2026", "1.12.2026", "2026-12-01"),
        ("31.12.2026", "01.12.2026", "2026-12-01"),
        ("31. 12. 2026", "1. 12. 2026", "2026-12-01"),
        ("31/12/2026", "01/12/2026", "2026-12-01"),
        ("12/31/2026", "12/1/2026", "2026-12-01"),
        ("2026/12/31", "2026/12/01", "2026-12-01"),
        ("31-12-2026", "01-12-2026", "2026-12-01"),
        ("31 12 2026", "1 12 2026", "2026-12-01"),
        ("31.12.2026", "1.12.2026 00:00:00", "2026-12-01"),
        ("", "2026-2-9", "2026-02-09"),
        ("", "2026-12-01 00:00:00", "2026-12-01"),
        ("", "2026-12-01T00:00:00", "2026-12-01"),
    ] {
        let read = iso_of(given, form(sample).as_ref());
        assert_eq!(read.as_deref(), Some(iso), "{sample}: {given}");
    }
    for (sample, given) in [
        ("31.12.2026", "2026-12-01"),
        ("31.12.2026", "1.12.26"),
        ("31.12.2026", "31.2.2026"),
        ("31.12.2026", "1/12/2026"),
        ("12/31/2026", "31/12/2026"),
        ("", "1.12.2026"),
        ("", "2026-12-01T00:00:00Z"),
        ("", "2026-12-01 08:00:00"),
        ("", "20261201"),
        ("", "today"),
    ] {
        assert_eq!(
            iso_of(given, form(sample).as_ref()),
            None,
            "{sample}: {given}"
        );
    }
}

#[test]
fn a_sample_is_the_last_day_of_that_year() {
    assert_eq!(form(" "), None);
    for wrong in [
        "31.12.26",
        "dd.mm.yyyy",
        "30.12.2026",
        "31.12.2025",
        "31.12.2026.",
        "31.2026.12",
        "31x12x2026",
        "31.12",
        "31122026",
    ] {
        let error = DayForm::read("header.date_format", wrong).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("header.date_format"), "{told}");
        assert!(told.contains("31.12.2026"), "{told}");
    }
}

#[test]
fn what_to_say_is_told() {
    for (text, told) in [
        ("1.12.2026", "--date-format 31.12.2026"),
        ("01/12/2026", "--date-format 12/31/2026"),
        ("01/12/2026", "--date-format 31/12/2026"),
        ("2026/12/01", "--date-format 2026/12/31"),
        ("12/1/26", "four digits"),
        ("1.12.26", "four digits"),
        ("46357", "for 2026-12-01"),
        ("46357.0", "for 2026-12-01"),
    ] {
        let expected = expected(text, None);
        assert!(expected.contains(told), "{text}: {expected}");
    }
    for no_day in ["soon", "2026-02-30"] {
        assert!(!expected(no_day, None).contains(';'), "{no_day}");
    }
    let said = form("31.12.2026");
    assert!(expected("1/12/2026", said.as_ref()).contains("one as 31.12.2026 is"));
}
