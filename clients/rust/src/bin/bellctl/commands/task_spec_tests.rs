//! Which fields of a task flags and files touch.

use prost_types::value::Kind;
use watchbell_client::pb::{CatchUp, CatchUpMode, OverlapPolicy};

use super::*;
use crate::{
    args::PolicyArgs,
    commands::task_flags::{lay_catch_up, touches_parts},
    time::{Moment, to_proto},
};

fn no_instants(
    moment: Option<&Moment>,
    _zone: Option<&str>,
) -> Result<Option<prost_types::Timestamp>, Failure> {
    Ok(moment.map(|_| to_proto("2026-03-01T12:00:00Z".parse().unwrap())))
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[test]
fn only_what_is_given_is_in_the_mask() {
    let spec = SpecArgs {
        priority: Some(0),
        policy: PolicyArgs {
            overlap: Some(OverlapPolicy::Allow),
            max_attempts: Some(3),
            ..PolicyArgs::default()
        },
        ..SpecArgs::default()
    };
    let mut draft = Draft::default();
    draft.lay_with(&spec, &no_instants).unwrap();
    assert_eq!(draft.paths, ["priority", "overlap", "retry"]);
    assert_eq!(draft.task.priority, Some(0));
    assert!(touches_parts(&spec));
}

#[test]
fn one_way_of_saying_when_takes_the_place_of_another_and_keeps_the_zone() {
    let mut draft = Draft {
        task: Task {
            schedule: Some(Schedule {
                every: seconds(60),
                phase: seconds(5),
                time_zone: "Europe/Paris".into(),
                ..Schedule::default()
            }),
            ..Task::default()
        },
        paths: Vec::new(),
    };
    let spec = SpecArgs {
        timing: TimingArgs {
            cron: Some("0 2 * * *".into()),
            ..TimingArgs::default()
        },
        ..SpecArgs::default()
    };
    draft.lay_with(&spec, &no_instants).unwrap();
    let expected = Schedule {
        cron: "0 2 * * *".into(),
        time_zone: "Europe/Paris".into(),
        ..Schedule::default()
    };
    assert_eq!(draft.task.schedule, Some(expected));
    assert_eq!(draft.paths, ["schedule"]);
}

#[test]
fn another_mode_of_catch_up_drops_the_bounds_of_all() {
    let mut catch_up = CatchUp {
        mode: CatchUpMode::All.into(),
        window: seconds(60),
        max_count: 5,
    };
    let policy = PolicyArgs {
        catch_up: Some(CatchUpMode::Latest),
        ..PolicyArgs::default()
    };
    lay_catch_up(&mut catch_up, &policy);
    assert_eq!((catch_up.window, catch_up.max_count), (None, 0));
}

#[test]
fn a_file_may_be_what_show_wrote_or_the_task_alone() {
    let task = r#"{"name":"tasks/a","etag":"e","description":"d","lateAfter":"5s","revision":"3"}"#;
    for text in [task.to_owned(), format!(r#"{{"task":{task}}}"#)] {
        let draft = Draft::parse(&text).unwrap();
        assert_eq!(draft.task.name, "tasks/a");
        assert_eq!(draft.task.etag, "e");
        let mut paths = draft.paths;
        paths.sort();
        assert_eq!(paths, ["description", "late_after"]);
    }
}

#[test]
fn a_file_with_a_single_field_keeps_it() {
    let draft = Draft::parse(r#"{"description":"d"}"#).unwrap();
    assert_eq!(draft.task.description, "d");
    assert_eq!(draft.paths, ["description"]);
}

#[test]
fn a_misspelt_field_in_a_file_is_told() {
    let error = Draft::parse(r#"{"descripton":"d"}"#).unwrap_err();
    assert!(error.to_string().contains("descripton"), "{error}");
}

#[test]
fn values_are_laid_over_parameters() {
    let file = std::env::temp_dir().join(format!("bellctl-value-{}", std::process::id()));
    fs::write(&file, "hunter2\n").unwrap();
    let given = [
        "month=2026-10".to_owned(),
        format!("key=@{}", file.display()),
    ];
    let all = values(Some(r#"{"month": 9, "n": 3}"#), &given)
        .unwrap()
        .unwrap();
    fs::remove_file(&file).unwrap();
    let of = |name: &str| all.fields[name].kind.clone().unwrap();
    assert_eq!(of("month"), Kind::StringValue("2026-10".to_owned()));
    assert_eq!(of("key"), Kind::StringValue("hunter2".to_owned()));
    assert_eq!(of("n"), Kind::NumberValue(3.0));
    assert!(values(None, &[]).unwrap().is_none());
    for wrong in ["month", "=x"] {
        let refused = values(None, &[wrong.to_owned()]);
        assert!(matches!(refused, Err(Failure::Usage(_))));
    }
}

#[test]
fn parameters_are_an_object() {
    let parsed = parameters(Some(r#"{"keep": 3, "deep": {"list": [null, "x"]}}"#)).unwrap();
    assert_eq!(parsed.unwrap().fields.len(), 2);
    assert!(matches!(parameters(Some("[1]")), Err(Failure::Usage(_))));
    assert!(matches!(
        parameters(Some("@/nonexistent")),
        Err(Failure::File { .. })
    ));
    assert!(parameters(None).unwrap().is_none());
}
