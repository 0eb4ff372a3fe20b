//! Which configuration is in force, where one that was superseded comes back.

use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use tonic::Code;
use watchbell_client::pb;

use crate::{
    catalogue::{FILE, update},
    support::{
        Database, Server, Site, TaskExt as _, at, instant, on_both, on_postgresql, refused, stamp,
    },
};

on_both!(
    an_older_file_is_a_rollback_where_no_other_server_lives,
    a_task_that_leaves_the_file_has_ended_and_goes_on_once_it_is_back,
    a_task_that_someone_deleted_does_not_come_back_by_the_file,
    a_pause_outlives_the_time_between,
    a_file_that_loses_some_of_its_tasks_is_no_problem,
    what_a_start_that_broke_off_was_to_tell_the_next_one_tells,
    what_a_start_that_broke_off_had_ended_comes_back_with_the_file_before,
);
on_postgresql!(an_older_file_is_not_applied_while_another_serves_the_newer);

const OLD: &str = "[tasks.job]\nkind = \"instant\"\ndescription = \"old\"\n";
const NEW: &str = "[tasks.job]\nkind = \"instant\"\ndescription = \"new\"\n";

async fn kinds(server: &Server) -> Vec<String> {
    let problems = server.status().await.problems;
    problems.into_iter().map(|problem| problem.r#type).collect()
}

async fn an_older_file_is_a_rollback_where_no_other_server_lives(database: Database) {
    let mut site = Site::configured(database, OLD);
    site.start().await.stop().await;
    site.configure(NEW);
    site.start().await.stop().await;

    site.configure(OLD);
    let server = site.start().await;
    assert_eq!(server.task("job").await.description, "old");
    let problem = server.problem("configuration.rollback").await;
    assert!(
        problem.message.contains("was in force before"),
        "{problem:?}"
    );
    server.stop().await;

    site.configure(NEW);
    let server = site.start().await;
    assert_eq!(server.task("job").await.description, "new");
    server.stop().await;
}

async fn an_older_file_is_not_applied_while_another_serves_the_newer(database: Database) {
    let mut site = Site::configured(database, OLD);
    site.start().await.stop().await;
    site.configure(NEW);
    let newer = site.start().await;

    site.configure(OLD);
    let older = site.start().await;
    assert_eq!(older.task("job").await.description, "new");
    let problem = older.problem("configuration.older").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    for text in ["watchbell.toml", "was not applied"] {
        assert!(problem.message.contains(text), "{problem:?}");
    }
    assert!(problem.action.contains("--apply-older"), "{problem:?}");
    older.stop().await;

    site.apply_older = true;
    let older = site.start().await;
    assert_eq!(older.task("job").await.description, "old");
    older.problem("configuration.rollback").await;
    let own = older.status().await.problems;
    let own = own
        .iter()
        .filter(|own| own.r#type == "configuration.older" && own.subject != problem.subject);
    assert_eq!(own.count(), 0, "the problem of the one before, at the most");
    older.stop().await;
    newer.stop().await;
}

async fn a_pause_outlives_the_time_between(database: Database) {
    let mut site = Site::configured(database, OLD);
    let server = site.start().await;
    let pause = pb::PauseTaskRequest {
        name: "tasks/job".to_owned(),
        reason: "not now".to_owned(),
        until_time: Some(stamp("2026-03-09T12:00:00Z".parse().unwrap())),
        ..Default::default()
    };
    server.client.tasks().pause_task(pause).await.unwrap();
    server.stop().await;
    site.configure("");
    site.start().await.stop().await;

    site.configure(OLD);
    let server = site.start().await;
    let task = server.task("job").await;
    let pause = task.pause.unwrap_or_else(|| panic!("it is paused"));
    assert_eq!(pause.reason, "not now");
    server.stop().await;
}

async fn a_file_that_loses_some_of_its_tasks_is_no_problem(database: Database) {
    let others: String = (0..4)
        .map(|number| format!("[tasks.other-{number}]\nkind = \"instant\"\n"))
        .collect();
    let mut site = Site::configured(database, &format!("{OLD}{others}"));
    site.start().await.stop().await;
    site.configure(&others);
    let server = site.start().await;
    assert!(
        !kinds(&server)
            .await
            .contains(&"configuration.shrunk".to_owned())
    );
    server.stop().await;
    // Cut off in the middle.
    site.configure(&others[..others.len() / 4]);
    let server = site.start().await;
    let problem = server.problem("configuration.shrunk").await;
    assert!(problem.message.contains("3 of 4 tasks"), "{problem:?}");
    server.stop().await;
}

async fn a_task_that_leaves_the_file_has_ended_and_goes_on_once_it_is_back(database: Database) {
    let mut site = Site::configured(database, FILE);
    let server = site.start().await;
    let run = server.trigger("from-file").await;
    server.ended(&run.name).await;
    let change = pb::Task {
        name: "tasks/from-file".to_owned(),
        priority: Some(9),
        ..pb::Task::default()
    };
    let before = update(&server, change, &["priority"]).await;
    server.stop().await;

    site.configure("");
    let server = site.start().await;
    let request = pb::GetTaskRequest {
        name: "tasks/from-file".to_owned(),
    };
    let (code, ..) = refused(server.client.tasks().get_task(request).await);
    assert_eq!(code, Code::NotFound);
    assert_eq!(server.run(&run.name).await.state(), pb::RunState::Succeeded);
    let shipped = server.task("prune-history").await;
    assert_eq!(shipped.priority, Some(2), "as it ships");
    let problem = server.problem("configuration.shrunk").await;
    assert!(problem.message.contains("from-file"), "{problem:?}");
    // Three slots of it pass.
    server.without_backups().await;
    server.advance(3 * 24 * 3600);
    server.stop().await;

    site.configure(FILE);
    let server = site.start().await;
    let again = server.task("from-file").await;
    assert_eq!(again.uid, before.uid, "the task that it was");
    assert_eq!(again.priority, Some(9), "with its overrides");
    assert_eq!(at(&again.next_nominal_time), "2026-03-06T06:00:00Z");
    let runs = server.runs_of("from-file").await;
    assert_eq!(runs.len(), 1, "nothing is made up for: {runs:?}");
    assert_eq!(runs[0].name, run.name, "with its history");
    let ledger = server.decided("from-file", server.now()).await;
    assert_eq!(
        ledger.last().unwrap(),
        &("SKIPPED_ENDED".to_owned(), 3),
        "{ledger:?}"
    );
    server.problem_is_over("configuration.shrunk").await;
    server.advance(24 * 3600);
    let ledger = server
        .decided("from-file", "2026-03-06T06:00:00Z".parse().unwrap())
        .await;
    assert_eq!(ledger.last().unwrap(), &("DISPATCHED".to_owned(), 1));
    server.stop().await;
}

async fn a_task_that_someone_deleted_does_not_come_back_by_the_file(database: Database) {
    let mut site = Site::new(database);
    let server = site.start().await;
    let before = server
        .create("from-file", instant().cron("0 6 * * *"))
        .await;
    let delete = pb::DeleteTaskRequest {
        name: before.name.clone(),
        ..Default::default()
    };
    server.client.tasks().delete_task(delete).await.unwrap();
    server.stop().await;

    site.configure(FILE);
    let server = site.start().await;
    assert_ne!(server.task("from-file").await.uid, before.uid);
    server.stop().await;
}

/// Lets no row of this table be written where `when` holds, as fate might; the word that ends it.
async fn forbid(fate: &DatabaseConnection, site: &Site, table: &str, when: &str) -> &'static str {
    let (forbid, allow) = match site.database.is_postgresql() {
        true => (
            format!(
                "CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'forbidden'; END $$; \
                 CREATE TRIGGER forbid BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION forbid()"
            ),
            "DROP FUNCTION forbid() CASCADE",
        ),
        false => (
            format!(
                "CREATE TRIGGER forbid BEFORE UPDATE ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'forbidden'); END; \
                 CREATE TRIGGER forbid_new BEFORE INSERT ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'forbidden'); END"
            ),
            "DROP TRIGGER forbid; DROP TRIGGER forbid_new",
        ),
    };
    fate.execute_unprepared(&forbid).await.unwrap();
    allow
}

async fn what_a_start_that_broke_off_was_to_tell_the_next_one_tells(database: Database) {
    let mut site = Site::configured(database, OLD);
    site.start().await.stop().await;
    let fate = site.database.connect(site.data()).await;
    let allow = forbid(&fate, &site, "configurations", "NEW.tasks = 0").await;
    site.configure("");
    let failed = format!("{:#}", site.try_start().await.unwrap_err());
    assert!(failed.contains("forbidden"), "{failed}");
    fate.execute_unprepared(allow).await.unwrap();
    fate.close().await.unwrap();

    let server = site.start().await;

    let problem = server.problem("configuration.shrunk").await;
    for text in ["1 of 1 tasks", "job"] {
        assert!(problem.message.contains(text), "{problem:?}");
    }
    server.stop().await;
}

async fn what_a_start_that_broke_off_had_ended_comes_back_with_the_file_before(database: Database) {
    let three = "[tasks.a]\nkind = \"instant\"\n[tasks.b]\nkind = \"instant\"\n[tasks.c]\nkind = \"instant\"\n";
    let mut site = Site::configured(database, three);
    site.start().await.stop().await;
    let fate = site.database.connect(site.data()).await;
    let allow = forbid(&fate, &site, "tasks", "NEW.name = 'b'").await;
    site.configure("");
    assert!(site.try_start().await.is_err(), "it broke off");
    fate.execute_unprepared(allow).await.unwrap();
    fate.close().await.unwrap();

    site.configure(three);
    let server = site.start().await;

    for name in ["a", "b", "c"] {
        server.task(name).await;
    }
    let told = kinds(&server).await;
    assert!(
        !told.contains(&"configuration.shrunk".to_owned()),
        "{told:?}"
    );
    server.stop().await;
}
