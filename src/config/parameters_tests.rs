//! What may be accepted, and what of it is.

use serde_json::json;

use super::*;

fn accepts(written: Value) -> anyhow::Result<Accepts> {
    let accepts: Accepts = serde_json::from_value(written)?;
    accepts.check("accepts")?;
    Ok(accepts)
}

fn map(values: Value) -> Map<String, Value> {
    serde_json::from_value(values).unwrap()
}

#[test]
fn names_are_written_as_a_list_or_as_a_table() {
    let list = accepts(json!(["month", "year"])).unwrap();
    assert_eq!(list, accepts(json!({"month": {}, "year": {}})).unwrap());
    for (wrong, says) in [
        (json!(["month", "month"]), "twice"),
        (json!(["Month"]), "no name"),
        (json!(["_m"]), "no name"),
        (json!(["command"]), "another name"),
        (json!({"m": {"pattern": "a)|(b"}}), "accepts.m.pattern"),
        (
            json!({"m": {"pattern": "a{1000}{1000}"}}),
            "accepts.m.pattern",
        ),
        (
            json!({"m": {"secret": true, "default": "x"}}),
            "accepts.m.default",
        ),
        (
            json!({"m": {"one_of": ["a"], "default": "b"}}),
            "accepts.m.default",
        ),
        (json!({"m": {"secrets": true}}), "unknown field"),
        (json!(7), "a list of names"),
    ] {
        let error = format!("{:#}", accepts(wrong.clone()).unwrap_err());
        assert!(error.contains(says), "{wrong}: {error}");
    }
}

#[test]
fn values_are_checked_and_errors_name_the_field_and_never_the_value() {
    let accepts = accepts(json!({
        "month": {"pattern": r"\d{4}-\d\d", "required": true},
        "how": {"one_of": ["fast", "well"], "default": "well"},
        "count": {},
        "key": {"secret": true, "pattern": "k.*"},
    }))
    .unwrap();
    let good = map(json!({"month": "2026-10", "count": 3, "key": {"$secret": "k1"}}));
    let given = accepts.given("it", &good).unwrap();
    let texts: Vec<(&str, String)> = given
        .iter()
        .map(|given| (given.name.as_str(), given.text()))
        .collect();
    let expected = [
        ("count", "3"),
        ("how", "well"),
        ("key", "k1"),
        ("month", "2026-10"),
    ];
    assert_eq!(texts, expected.map(|(name, text)| (name, text.to_owned())));
    assert_eq!(
        given.iter().filter(|given| given.secret.is_some()).count(),
        1
    );
    // Sealed when the run was queued: it is a secret, whatever is configured by now.
    let once = map(json!({"month": {"$secret": "2026-10"}}));
    let given = accepts.given("it", &once).unwrap();
    let month = given.iter().find(|given| given.name == "month").unwrap();
    assert_eq!(month.secret.as_ref().unwrap().expose(), "2026-10");
    for (wrong, field) in [
        (json!({}), "month"),
        (json!({"month": "2026-10-1"}), "month"),
        (json!({"month": "2026-10\n"}), "month"),
        (json!({"month": ["2026-10"]}), "month"),
        (json!({"month": "2026-10", "how": "WRONG"}), "how"),
        (json!({"month": "2026-10", "key": "WRONG"}), "key"),
        (json!({"month": "2026-10", "key": "***"}), "key"),
        (json!({"month": "2026-10", "count": "W\0RONG"}), "count"),
        (
            json!({"month": "2026-10", "count": "WRONG".repeat(1000)}),
            "count",
        ),
        (json!({"month": "2026-10", "year": "WRONG"}), "year"),
    ] {
        let error = accepts.given("it", &map(wrong.clone())).unwrap_err();
        let error = format!("{error:?} {error}");
        assert!(
            error.contains(&format!("parameters.{field}")),
            "{wrong}: {error}"
        );
        assert!(!error.contains("WRONG"), "{error}");
    }
    accepts
        .check_own("it", &map(json!({"count": true})))
        .unwrap();
    for own in [
        json!({"key": "k1"}),
        json!({"year": 1}),
        json!({"month": 1}),
    ] {
        assert!(accepts.check_own("it", &map(own)).is_err());
    }
}
