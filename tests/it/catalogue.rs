//! One row, three layers: what ships, what the file says, what the API has changed.

use jiff::SignedDuration;
use tonic::Code;
use watchbell_client::pb;

use crate::support::{Database, Server, Site, TaskExt as _, at, instant, on_both, refused};

on_both!(
    layers_are_merged_field_by_field_and_reset_drops_the_highest,
    an_override_outlives_a_change_of_the_file,
    an_unchanged_file_changes_nothing,
    another_zone_of_the_organisation_replans_what_names_none,
    drift_lists_overrides_and_double_work,
    what_is_no_difference_is_no_drift,
    a_task_that_does_not_fit_refuses_the_start_and_changes_nothing,
    a_schedule_that_can_no_longer_be_read_stops_no_other_task,
    an_override_that_no_longer_fits_does_not_stop_the_start,
);

pub(crate) const FILE: &str = r#"
[tasks.prune-history]
priority = 8
schedule = { cron = "5 4 * * *" }

[tasks.from-file]
kind = "instant"
description = "from the file"
schedule = { cron = "0 6 * * *" }
"#;

pub(crate) async fn update(server: &Server, task: pb::Task, paths: &[&str]) -> pb::Task {
    let request = pb::UpdateTaskRequest {
        task: Some(task),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        reason: "for now".to_owned(),
        ..Default::default()
    };
    let answer = server.client.tasks().update_task(request).await.unwrap();
    answer.into_inner().task.unwrap()
}

/// Gives a task a priority that no layer below says.
pub(crate) async fn set_priority(server: &Server, name: &str) -> pb::Task {
    let change = pb::Task {
        name: format!("tasks/{name}"),
        priority: Some(9),
        ..pb::Task::default()
    };
    update(server, change, &["priority"]).await
}

async fn reset(server: &Server, name: &str) -> pb::Task {
    let request = pb::ResetTaskRequest {
        name: format!("tasks/{name}"),
        ..Default::default()
    };
    let answer = server.client.tasks().reset_task(request).await.unwrap();
    answer.into_inner().task.unwrap()
}

async fn layers_are_merged_field_by_field_and_reset_drops_the_highest(database: Database) {
    let site = Site::configured(database, FILE);
    let server = site.start().await;
    let shipped = server.task("prune-history").await;
    assert_eq!(shipped.origin(), pb::TaskOrigin::BuiltIn);
    assert_eq!(shipped.priority, Some(8), "of the file");
    assert_eq!(shipped.schedule.as_ref().unwrap().cron, "5 4 * * *");
    assert!(
        shipped.description.contains("older"),
        "of the registry: {}",
        shipped.description
    );

    let change = pb::Task {
        name: "tasks/prune-history".to_owned(),
        priority: Some(1),
        ..pb::Task::default()
    };
    let changed = update(&server, change, &["priority"]).await;
    assert_eq!(changed.priority, Some(1));
    assert_eq!(changed.schedule, shipped.schedule);
    let told = &changed.overrides[0];
    assert_eq!(
        (told.field.as_str(), told.value_json.as_str()),
        ("priority", "1")
    );
    assert_eq!(
        (told.principal.as_str(), told.reason.as_str()),
        ("admin", "for now")
    );
    assert_eq!(at(&told.change_time), "2026-03-02T12:00:00Z");

    let reset = reset(&server, "prune-history").await;
    assert_eq!(reset.priority, Some(8));
    assert!(reset.overrides.is_empty());
    let delete = pb::DeleteTaskRequest {
        name: "tasks/from-file".to_owned(),
        ..Default::default()
    };
    let (code, reason, status) = refused(server.client.tasks().delete_task(delete).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "NOT_DELETABLE")
    );
    assert!(
        status.message().contains("configuration file"),
        "{status:?}"
    );
    server.stop().await;
}

async fn an_override_outlives_a_change_of_the_file(database: Database) {
    let mut site = Site::configured(database, FILE);
    let server = site.start().await;
    let change = pb::Task {
        name: "tasks/from-file".to_owned(),
        description: "from the API".to_owned(),
        ..pb::Task::default()
    };
    update(&server, change, &["description"]).await;
    server.stop().await;

    let later = FILE
        .replace("0 6 * * *", "30 7 * * *")
        .replace("from the file", "newer");
    site.configure(&later);
    let server = site.start().await;

    let task = server.task("from-file").await;
    assert_eq!(task.schedule.unwrap().cron, "30 7 * * *");
    assert_eq!(task.description, "from the API");
    assert_eq!(reset(&server, "from-file").await.description, "newer");
    server.stop().await;
}

async fn an_unchanged_file_changes_nothing(database: Database) {
    let site = Site::configured(database, FILE);
    let server = site.start().await;
    let before = server.task("from-file").await;
    server.stop().await;

    let server = site.start().await;
    assert_eq!(server.task("from-file").await, before);
    server.stop().await;
}

async fn another_zone_of_the_organisation_replans_what_names_none(database: Database) {
    let mut site = Site::configured(database, &format!("time_zone = \"Asia/Kolkata\"\n{FILE}"));
    let server = site.start().await;
    assert_eq!(
        at(&server.task("from-file").await.next_nominal_time),
        "2026-03-03T00:30:00Z"
    );
    server
        .create("of-the-api", instant().cron("0 6 * * *"))
        .await;
    let mut fixed = instant().cron("0 6 * * *");
    fixed.schedule.as_mut().unwrap().time_zone = "Asia/Kolkata".to_owned();
    server.create("fixed", fixed).await;
    server.stop().await;

    site.configure(&format!("time_zone = \"UTC\"\n{FILE}"));
    let server = site.start().await;

    for name in ["from-file", "of-the-api"] {
        let task = server.task(name).await;
        assert_eq!(
            at(&task.next_nominal_time),
            "2026-03-03T06:00:00Z",
            "{name}"
        );
        assert_eq!(task.revision, 2, "{name}: it is an edit");
        assert_eq!(task.schedule.unwrap().time_zone, "UTC");
    }
    let fixed = server.task("fixed").await;
    assert_eq!(at(&fixed.next_nominal_time), "2026-03-03T00:30:00Z");
    server.without_backups().await;
    server.advance(24 * 3600);
    let ledger = server
        .decided("from-file", "2026-03-03T06:00:00Z".parse().unwrap())
        .await;
    assert_eq!(ledger.last().unwrap(), &("DISPATCHED".to_owned(), 1));
    server.stop().await;
}

async fn drift_lists_overrides_and_double_work(database: Database) {
    let site = Site::configured(database, FILE);
    let server = site.start().await;
    set_priority(&server, "from-file").await;
    server.create("twin", instant()).await;

    let items = drift(&server).await;

    let item = |kind: &str, subject: &str| {
        let found = items
            .iter()
            .find(|item| item.r#type == kind && item.subject == subject);
        found.unwrap_or_else(|| panic!("no {kind} of {subject} in {items:?}"))
    };
    let change = item("OVERRIDE", "tasks/from-file");
    assert_eq!(
        (change.principal.as_str(), change.message.as_str()),
        ("admin", "priority is 9: for now")
    );
    assert!(change.since_time.is_some());
    assert!(
        item("DUPLICATE_WORK", "tasks/twin")
            .message
            .contains("tasks/from-file")
    );
    assert_eq!(items.len(), 2, "{items:?}");
    server.stop().await;
}

async fn drift(server: &Server) -> Vec<pb::DriftItem> {
    let request = pb::GetDriftRequest::default();
    let answer = server.client.scheduler().get_drift(request).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(
        (answer.next_page_token.as_str(), answer.left_off_count),
        ("", 0)
    );
    answer.items
}

async fn what_is_no_difference_is_no_drift(database: Database) {
    let mut site = Site::new(database);
    let server = site.start().await;
    assert_eq!(drift(&server).await, [], "of a new server");
    // It dies, and its row stays: the next has another configuration.
    server.kill().await;
    let (_, work) = FILE.split_once("[tasks.from-file]").unwrap();
    site.configure(&format!("{FILE}[tasks.also-from-file]{work}"));
    site.clock.advance(SignedDuration::from_secs(31));
    let server = site.start().await;
    assert_eq!(drift(&server).await, [], "one work twice, as configured");

    let same = pb::Task {
        name: "tasks/from-file".to_owned(),
        description: "from the file".to_owned(),
        ..pb::Task::default()
    };
    update(&server, same, &["description"]).await;
    assert_eq!(server.task("from-file").await.overrides.len(), 1);
    assert_eq!(drift(&server).await, [], "changed to what it was");
    server.stop().await;
}

async fn a_task_that_does_not_fit_refuses_the_start_and_changes_nothing(database: Database) {
    let mut site = Site::configured(database, FILE);
    site.start().await.stop().await;
    let bad = [
        ("kind = \"instant\"", "kind = \"instnt\"", "kind"),
        ("0 6 * * *", "0 25 * * *", "schedule.cron"),
        ("description", "descripton", "descripton"),
        (
            "description = \"from the file\"",
            "priority = 12",
            "priority",
        ),
    ];
    for (good, wrong, field) in bad {
        site.configure(&FILE.replace(good, wrong));
        let error = format!("{:#}", site.try_start().await.unwrap_err());
        assert!(
            error.contains("from-file") && error.contains(field),
            "{field}: {error}"
        );
    }

    site.configure(FILE);
    let server = site.start().await;
    assert_eq!(server.task("from-file").await.revision, 1);
    server.stop().await;
}

async fn a_schedule_that_can_no_longer_be_read_stops_no_other_task(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for name in ["broken", "healthy"] {
        server.create(name, instant().cron("*/10 * * * *")).await;
    }
    server.stop().await;
    // Another program took it, or a tz database that knew more.
    let fate = site.database.connect(site.data()).await;
    let damage = "UPDATE task_revisions SET spec = replace(spec, 'UTC', 'Mars/Olympus') \
         WHERE task_id IN (SELECT id FROM tasks WHERE name = 'broken')";
    sea_orm::ConnectionTrait::execute_unprepared(&fate, damage)
        .await
        .unwrap();
    let server = site.start().await;

    server.advance(600);

    server.decided("healthy", server.now()).await;
    server.advance(31);
    let problem = server.problem("schedule.unreadable").await;
    assert_eq!(problem.subject, "tasks/broken");
    assert!(
        problem.message.contains("Mars/Olympus"),
        "{}",
        problem.message
    );
    let pause = pb::PauseTaskRequest {
        name: "tasks/broken".to_owned(),
        ..Default::default()
    };
    server.client.tasks().pause_task(pause).await.unwrap();
    let resume = pb::ResumeTaskRequest {
        name: "tasks/broken".to_owned(),
        ..Default::default()
    };
    server.client.tasks().resume_task(resume).await.unwrap();
    let agenda = pb::GetAgendaRequest::default();
    server.client.scheduler().get_agenda(agenda).await.unwrap();
    let mended = pb::Task {
        name: "tasks/broken".to_owned(),
        ..pb::Task::default()
    };
    let mut mended = mended.cron("*/10 * * * *");
    mended.schedule.as_mut().unwrap().time_zone = "UTC".to_owned();
    update(&server, mended, &["schedule"]).await;
    server.advance(600);
    let ledger = server
        .decided("broken", "2026-03-02T12:20:00Z".parse().unwrap())
        .await;
    assert_eq!(ledger.last().unwrap(), &("DISPATCHED".to_owned(), 1));
    let delete = pb::DeleteTaskRequest {
        name: "tasks/broken".to_owned(),
        ..Default::default()
    };
    server.client.tasks().delete_task(delete).await.unwrap();
    server.stop().await;
}

async fn an_override_that_no_longer_fits_does_not_stop_the_start(database: Database) {
    let with_window = FILE.replace(
        "[tasks.from-file]",
        "[tasks.from-file]\ncatch_up = { mode = \"all\", window = \"1h\", max_count = 3 }",
    );
    let mut site = Site::configured(database, &with_window);
    let server = site.start().await;
    let mut change = pb::Task {
        name: "tasks/from-file".to_owned(),
        ..pb::Task::default()
    };
    change.catch_up.get_or_insert_default().max_count = 5;
    update(&server, change, &["catch_up.max_count"]).await;
    server.stop().await;

    // Without the mode, what the API has set means nothing.
    site.configure(FILE);
    let server = site.start().await;

    let problem = server.problem("task.override_misfit").await;
    assert_eq!(problem.subject, "tasks/from-file");
    assert!(problem.message.contains("catch_up"), "{}", problem.message);
    let before = server.task("from-file").await;
    assert_eq!(
        before.catch_up.unwrap().mode(),
        pb::CatchUpMode::All,
        "as it was"
    );
    let after = reset(&server, "from-file").await;
    assert_eq!(after.catch_up.unwrap().mode(), pb::CatchUpMode::Latest);
    crate::support::until("the problem to be over", async || {
        let problems = server.status().await.problems;
        let mut kinds = problems.iter().map(|problem| problem.r#type.as_str());
        kinds
            .all(|kind| kind != "task.override_misfit")
            .then_some(())
    })
    .await;
    server.stop().await;
}
