//! Where drills restore what sources of PostgreSQL hold: whatever the server itself is on, and nothing is left there.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use watchbell::clock::Clock as _;
use watchbell_client::pb;

use super::vault::Vault;
use crate::support::{Database, Server, Site, on_both, on_postgresql, until};

on_both!(
    a_source_of_postgresql_is_really_restored_whatever_the_server_is_on,
    a_source_whose_role_may_make_no_database_is_warned_of_until_one_is_given,
    what_a_killed_drill_has_left_beside_a_source_goes_once_it_is_old,
);

on_postgresql!(what_the_servers_own_postgresql_does_not_take_fails_no_source_of_another);

const TABLE: &str =
    "CREATE TABLE bells (id int PRIMARY KEY); INSERT INTO bells VALUES (1), (2), (3)";

/// A database of PostgreSQL with something in it; none, with a word, where there is no such server.
async fn source() -> Option<Database> {
    let source = Database::postgresql().await?.empty().await;
    run(&connect(&source).await, TABLE).await;
    Some(source)
}

async fn connect(database: &Database) -> DatabaseConnection {
    database.connect(std::path::Path::new("/")).await
}

async fn run(database: &DatabaseConnection, statements: &str) {
    database.execute_unprepared(statements).await.unwrap();
}

async fn texts(database: &DatabaseConnection, select: &str) -> Vec<String> {
    let select = Statement::from_string(DbBackend::Postgres, select);
    let rows = database.query_all_raw(select).await.unwrap();
    let texts = rows.iter().map(|row| row.try_get_by_index(0).unwrap());
    texts.collect()
}

fn configured(url: &str, more: &str) -> String {
    format!("[backups.sources.crm]\npostgres = {url:?}\n{more}")
}

/// The name of a database in a URL.
fn name_of(database: &Database) -> String {
    let url = database.url();
    let (url, _) = url.split_once('?').unwrap_or((&url, ""));
    url.rsplit('/').next().unwrap().to_owned()
}

async fn cluster_of(server: &Server) -> String {
    let mut scheduler = server.client.scheduler();
    let info = scheduler.get_server_info(pb::GetServerInfoRequest {}).await;
    info.unwrap().into_inner().cluster_id
}

/// The beginning of the names of a cluster's scratch databases.
fn beginning(cluster: &str) -> String {
    let plain = cluster.chars().filter(char::is_ascii_alphanumeric);
    format!("watchbell_drill_{}_", plain.take(12).collect::<String>())
}

/// Scratch databases of a cluster.
async fn scratch(database: &DatabaseConnection, cluster: &str) -> Vec<String> {
    let beginning = beginning(cluster);
    let select = format!(
        "SELECT datname::text FROM pg_database WHERE starts_with(datname::text, '{beginning}') ORDER BY 1"
    );
    texts(database, &select).await
}

/// Backs the source up, and drills it.
async fn drilled(vault: &Vault<'_>) -> pb::Run {
    let policies = vault.policies().await;
    if !policies.iter().any(|one| one.name.ends_with("/crm")) {
        vault.create_full("crm", &["crm"]).await;
    }
    let run = vault.back_up("crm").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let point = vault.newest().await;
    vault
        .verify(&point.name, pb::VerificationLevel::Unspecified)
        .await
}

async fn a_source_of_postgresql_is_really_restored_whatever_the_server_is_on(database: Database) {
    let Some(source) = source().await else {
        return;
    };
    let toml = configured(&source.url(), "");
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);

    let drill = drilled(&vault).await;

    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    let said = "crm: 3 rows, as in the manifest";
    assert!(drill.message.contains(said), "{drill:?}");
    let beside = connect(&source).await;
    let left = scratch(&beside, &cluster_of(&server).await).await;
    assert_eq!(left, [""; 0]);
    let rows = texts(&beside, "SELECT count(*)::text FROM bells").await;
    assert_eq!(rows, ["3"], "the source is as it was");
    vault.leaves_nothing_behind(&site).await;
    server.stop().await;
}

async fn a_source_whose_role_may_make_no_database_is_warned_of_until_one_is_given(
    database: Database,
) {
    let Some(source) = source().await else {
        return;
    };
    let own = database.is_postgresql();
    let given = source.empty().await;
    let role = format!("nobody_{}", uuid::Uuid::now_v7().simple());
    let admin = connect(&source).await;
    let make = format!(
        "CREATE ROLE {role} LOGIN NOCREATEDB; \
         DO $$ BEGIN EXECUTE format('GRANT %I TO {role}', current_user); END $$"
    );
    run(&admin, &make).await;
    let url = source.url();
    let (before, after) = url.split_once('@').unwrap();
    let scheme = before.split_once("://").unwrap().0;
    let url = format!("{scheme}://{role}@{after}");
    let given_by = |name: &str| configured(&url, &format!("drill_database = {name:?}\n"));
    let mut site = Site::configured(database, &configured(&url, "")).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let drill = drilled(&vault).await;
    if own {
        // The server's own PostgreSQL has taken it.
        assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    } else {
        assert_eq!(drill.outcome(), pb::RunOutcome::Partial, "{drill:?}");
        for says in [
            "no right to create a database on the PostgreSQL of source crm",
            "backups.sources.crm.drill_database",
        ] {
            assert!(drill.message.contains(says), "{says}: {drill:?}");
        }
        server.problem("backup.not_drilled").await;
        assert_eq!(vault.plan_retention().await.frozen_message, "");
    }
    server.stop().await;

    site.configure(&given_by(&name_of(&source)));
    let server = site.start().await;
    let drill = drilled(&Vault::of(&server, &site)).await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Partial, "{drill:?}");
    assert!(
        drill.message.contains("it is what is backed up"),
        "{drill:?}"
    );
    server.problem("backup.not_drilled").await;
    server.stop().await;

    site.configure(&given_by(&name_of(&given)));
    let server = site.start().await;
    let drill = drilled(&Vault::of(&server, &site)).await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    assert!(drill.message.contains("crm: 3 rows, as in"), "{drill:?}");
    until("the problem to end", async || {
        let problems = server.status().await.problems;
        let mut there = problems.iter();
        (!there.any(|problem| problem.r#type == "backup.not_drilled")).then_some(())
    })
    .await;
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    let inside = connect(&given).await;
    assert_eq!(texts(&inside, tables).await, [""; 0]);
    // As a drill that was killed leaves it.
    let note = note(&site, &cluster_of(&server).await, uuid::Uuid::now_v7());
    let full = format!(
        "CREATE TABLE watchbell_drill AS SELECT extname AS extension FROM pg_extension; \
         COMMENT ON TABLE watchbell_drill IS {note}; {TABLE}"
    );
    run(&inside, &full).await;
    let cleanup = server.trigger("backup-cleanup").await;
    server.ended(&cleanup.name).await;
    assert_eq!(texts(&inside, tables).await, [""; 0]);
    server.stop().await;
    drop(inside);
    let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    run(&admin, &gone).await;
}

/// The note of a scratch database beside the source, as a text of SQL.
fn note(site: &Site, cluster: &str, run: uuid::Uuid) -> String {
    let home = format!("{} for source crm", site.data().display());
    format!("'watchbell: made to try a dump; cluster {cluster}, run {run}, server on {home:?}'")
}

async fn what_a_killed_drill_has_left_beside_a_source_goes_once_it_is_old(database: Database) {
    let Some(source) = source().await else {
        return;
    };
    let toml = configured(&source.url(), "");
    let own = database.is_postgresql();
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    drilled(&Vault::of(&server, &site)).await;
    let cluster = cluster_of(&server).await;
    let beside = connect(&source).await;
    let hours_ago = |hours: i64| {
        let then = site.clock.now() - jiff::SignedDuration::from_hours(hours);
        let seconds = u64::try_from(then.as_second()).unwrap();
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
        uuid::Uuid::new_v7(time)
    };
    let (old, new) = (hours_ago(30), hours_ago(1));
    let name = |run: &uuid::Uuid| format!("{}{}", beginning(&cluster), run.simple());
    for run_id in [old, new] {
        let (name, note) = (name(&run_id), note(&site, &cluster, run_id));
        run(&beside, &format!("CREATE DATABASE {name}")).await;
        run(&beside, &format!("COMMENT ON DATABASE {name} IS {note}")).await;
    }

    let cleanup = server.trigger("backup-cleanup").await;
    let cleanup = server.ended(&cleanup.name).await;

    let left = scratch(&beside, &cluster).await;
    for name in &left {
        run(&beside, &format!("DROP DATABASE {name}")).await;
    }
    // No drill of a server on PostgreSQL has made one there; and what is new may be a copy's of this instance.
    let expected = match own {
        true => vec![name(&old), name(&new)],
        false => vec![name(&new)],
    };
    assert_eq!(left, expected, "{cleanup:?}");
    server.stop().await;
}

/// A database of an encoding, on the server of another one.
async fn encoded(like: &Database, encoding: &str) -> Database {
    let Database::Postgresql { server, .. } = like else {
        panic!("it is not on PostgreSQL");
    };
    let name = format!("watchbell_{}", uuid::Uuid::now_v7().simple());
    let make = format!(
        "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    run(&connect(like).await, &make).await;
    Database::Postgresql {
        server: server.clone(),
        name,
    }
}

/// Why nothing of the source's policy is removed.
async fn frozen(server: &Server) -> String {
    let request = pb::PlanRetentionRequest {
        policy: "backupPolicies/crm".to_owned(),
        ..pb::PlanRetentionRequest::default()
    };
    let plan = server.client.backups().plan_retention(request).await;
    plan.unwrap().into_inner().frozen_message
}

/// Only the source's own server says that it fails; and what could not be tried takes that not back.
async fn what_the_servers_own_postgresql_does_not_take_fails_no_source_of_another(
    database: Database,
) {
    let source = encoded(&database, "UTF8").await;
    let latin = encoded(&database, "LATIN1").await;
    let bell = "CREATE TABLE bells (name text); INSERT INTO bells VALUES ('鐘')";
    run(&connect(&source).await, bell).await;
    let (url, given) = (source.url(), name_of(&latin));
    let own = format!("[backups]\ndrill_database = {given:?}\n");
    let own = format!("{own}{}", configured(&url, ""));
    let mut site = Site::configured(database, &own).with_repository();
    let server = site.start().await;
    let drill = drilled(&Vault::of(&server, &site)).await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    let said = "crm: 1 rows, as in the manifest";
    assert!(drill.message.contains(said), "{drill:?}");
    assert_eq!(frozen(&server).await, "");
    server.stop().await;

    let given_by = |name: &str| configured(&url, &format!("drill_database = {name:?}\n"));
    site.configure(&given_by(&given));
    let server = site.start().await;
    let drill = drilled(&Vault::of(&server, &site)).await;
    assert_eq!(drill.state(), pb::RunState::Failed, "{drill:?}");
    server.problem("backup.verification_failed").await;
    let why = frozen(&server).await;
    assert!(why.contains("the last drill failed"), "{why}");
    server.stop().await;

    site.configure(&given_by(&name_of(&source)));
    let server = site.start().await;
    let drill = drilled(&Vault::of(&server, &site)).await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Partial, "{drill:?}");
    server.problem("backup.not_drilled").await;
    server.problem("backup.verification_failed").await;
    let why = frozen(&server).await;
    assert!(why.contains("the last drill failed"), "{why}");
    server.stop().await;

    site.configure(&own);
    let server = site.start().await;
    let drill = drilled(&Vault::of(&server, &site)).await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    assert_eq!(frozen(&server).await, "");
    server.problem_is_over("backup.verification_failed").await;
    server.stop().await;
}
