//! Databases that drills restore into: what a killed one has left goes, what is somebody else's stays, and one that is
//! given by the configuration is emptied again.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use watchbell_client::pb;

use super::vault::Vault;
use crate::support::{Database, Server, Site, on_postgresql, skip};

on_postgresql!(
    what_a_killed_drill_has_left_goes_and_nothing_of_anybody_else,
    a_drill_empties_the_database_that_is_given_to_it,
    a_drill_leaves_the_extensions_that_were_there_before,
    a_drill_says_nothing_of_extensions_that_are_another_roles,
    a_new_database_that_an_attempt_has_made_is_found_by_the_next,
);

async fn backed_up(site: &Site) -> Server {
    let server = site.start().await;
    let vault = Vault::of(&server, site);
    vault.document("SOP-1", b"what is in it").await;
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    server
}

async fn texts(database: &DatabaseConnection, select: &str) -> Vec<String> {
    let select = Statement::from_string(DbBackend::Postgres, select);
    let rows = database.query_all_raw(select).await.unwrap();
    let texts = rows.iter().map(|row| row.try_get_by_index(0).unwrap());
    texts.collect()
}

async fn do_all(database: &DatabaseConnection, statements: &str) {
    database.execute_unprepared(statements).await.unwrap();
}

async fn home(admin: &DatabaseConnection) -> String {
    texts(admin, "SELECT current_database()::text")
        .await
        .remove(0)
}

async fn cluster_of(server: &Server) -> String {
    let mut scheduler = server.client.scheduler();
    let info = scheduler.get_server_info(pb::GetServerInfoRequest {}).await;
    info.unwrap().into_inner().cluster_id
}

fn note(cluster: &str, run: &str, home: &str) -> String {
    format!("watchbell: made to try a dump; cluster {cluster}, run {run}, server on \"{home}\"")
}

async fn what_a_killed_drill_has_left_goes_and_nothing_of_anybody_else(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let cluster = cluster_of(&server).await;
    let admin = site.database.connect(site.data()).await;
    let home = home(&admin).await;
    let beginning: String = cluster
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(12)
        .collect();
    let beginning = format!("watchbell_drill_{beginning}_");
    let run = || uuid::Uuid::now_v7();
    let (killed, copy, new, mine) = (run(), run(), run(), format!("{beginning}mine"));
    let name = |run: &uuid::Uuid| format!("{beginning}{}", run.simple());
    for (name, comment) in [
        (name(&killed), note(&cluster, &killed.to_string(), &home)),
        // An instance that was restored beside this one has its cluster.
        (name(&copy), note(&cluster, &copy.to_string(), "its_copy")),
        // Somebody makes it at this moment.
        (name(&new), String::new()),
        (mine.clone(), String::new()),
    ] {
        do_all(&admin, &format!("CREATE DATABASE {name}")).await;
        do_all(
            &admin,
            &format!("COMMENT ON DATABASE {name} IS '{comment}'"),
        )
        .await;
    }

    let run = server.trigger("backup-cleanup").await;
    let run = server.ended(&run.name).await;

    let select = format!(
        "SELECT datname::text FROM pg_database WHERE starts_with(datname::text, '{beginning}') ORDER BY 1"
    );
    let left = texts(&admin, &select).await;
    let mut expected = vec![name(&copy), name(&new), mine];
    expected.sort();
    for name in &expected {
        do_all(&admin, &format!("DROP DATABASE IF EXISTS {name}")).await;
    }
    assert_eq!(left, expected, "{run:?}");
    server.stop().await;
}

/// Extensions that somebody has put into the database that is given stay; those that a drill brings go.
async fn a_drill_leaves_the_extensions_that_were_there_before(database: Database) {
    let given = database.empty().await;
    let url = given.url();
    let (url, _) = url.split_once('?').unwrap_or((&url, ""));
    let name = url.rsplit('/').next().unwrap();
    let toml = format!("[backups]\ndrill_database = {name:?}\n");
    let site = Site::configured(database, &toml).with_repository();
    let server = backed_up(&site).await;
    let vault = Vault::of(&server, &site);
    let inside = given.connect(site.data()).await;
    let available = "SELECT name::text FROM pg_available_extensions WHERE name IN ('citext', 'hstore') ORDER BY 1";
    if texts(&inside, available).await != ["citext", "hstore"] {
        return skip(
            "extensions of a drill's database",
            "PostgreSQL's contrib is not installed",
        );
    }
    let extensions = "SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1";
    do_all(&inside, "CREATE EXTENSION citext").await;

    let drill = vault.drill().await;

    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    assert_eq!(texts(&inside, extensions).await, ["citext"]);
    // As a drill that was killed leaves it; an older version did not note them.
    let (cluster, home) = (
        cluster_of(&server).await,
        home(&site.database.connect(site.data()).await).await,
    );
    let run = uuid::Uuid::now_v7().to_string();
    let note = note(&cluster, &run, &home);
    for (table, stay) in [
        (
            "watchbell_drill AS SELECT extname AS extension FROM pg_extension",
            &["citext"][..],
        ),
        ("watchbell_drill ()", &["citext", "hstore"]),
    ] {
        let left = format!(
            "CREATE TABLE {table}; COMMENT ON TABLE watchbell_drill IS '{note}'; \
             CREATE EXTENSION hstore; CREATE TABLE left_of_it (name citext, all_of_it hstore)"
        );
        do_all(&inside, &left).await;
        let drill = vault.drill().await;
        assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
        assert_eq!(texts(&inside, extensions).await, stay);
    }
    server.stop().await;
}

/// Somebody with the right to it has put the extension there that the source's role may not make.
async fn a_drill_says_nothing_of_extensions_that_are_another_roles(database: Database) {
    let (source, given) = (database.empty().await, database.empty().await);
    let root = std::path::Path::new("/");
    let (admin, inside) = (source.connect(root).await, given.connect(root).await);
    let available = "SELECT name::text FROM pg_available_extensions WHERE name = 'citext'";
    if texts(&admin, available).await.is_empty() {
        return skip(
            "extensions of another role",
            "PostgreSQL's contrib is not installed",
        );
    }
    let role = format!("plain_{}", uuid::Uuid::now_v7().simple());
    let make = format!(
        "CREATE ROLE {role} LOGIN; CREATE EXTENSION citext; CREATE TABLE bells (name citext); \
         INSERT INTO bells VALUES ('one'), ('two'); GRANT SELECT ON bells TO {role}"
    );
    do_all(&admin, &make).await;
    let give = format!("CREATE EXTENSION citext; GRANT ALL ON SCHEMA public TO {role}");
    do_all(&inside, &give).await;
    let (url, name) = (source.url(), home(&inside).await);
    let (before, after) = url.split_once('@').unwrap();
    let scheme = before.split_once("://").unwrap().0;
    let toml = format!(
        "[backups.sources.crm]\npostgres = \"{scheme}://{role}@{after}\"\ndrill_database = {name:?}\n"
    );
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("crm", &["crm"]).await;
    let run = vault.back_up("crm").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");

    // And again, with what the first may have left.
    for _ in 0..2 {
        let drill = vault.drill().await;
        assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
        let said = "crm: 2 rows, as in the manifest";
        assert!(drill.message.contains(said), "{drill:?}");
    }
    server.stop().await;
    for database in [&admin, &inside] {
        do_all(database, &format!("DROP OWNED BY {role}")).await;
    }
    do_all(&admin, &format!("DROP ROLE {role}")).await;
}

async fn a_drill_empties_the_database_that_is_given_to_it(database: Database) {
    let given = database.empty().await;
    let url = given.url();
    let (url, _) = url.split_once('?').unwrap_or((&url, ""));
    let name = url.rsplit('/').next().unwrap();
    let toml = format!("[backups]\ndrill_database = {name:?}\n");
    let site = Site::configured(database, &toml).with_repository();
    let server = backed_up(&site).await;
    let vault = Vault::of(&server, &site);
    let inside = given.connect(site.data()).await;
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') \
                  ORDER BY 1";

    let drill = vault.drill().await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    assert_eq!(texts(&inside, tables).await, [""; 0]);

    // Somebody's table, of whatever kind.
    do_all(
        &inside,
        "CREATE SCHEMA other; CREATE TABLE other.mine (id int)",
    )
    .await;
    let drill = vault.drill().await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Partial, "{drill:?}");
    assert!(
        drill
            .message
            .contains("it is not empty, but holds other.mine"),
        "{drill:?}"
    );
    assert_eq!(texts(&inside, tables).await, ["mine"]);
    do_all(&inside, "DROP SCHEMA other CASCADE").await;

    // As a drill that was killed leaves it; and one of another server.
    let (cluster, home) = (
        cluster_of(&server).await,
        home(&site.database.connect(site.data()).await).await,
    );
    let run = uuid::Uuid::now_v7().to_string();
    let full = |note: &str| {
        format!(
            "CREATE TABLE watchbell_drill (); COMMENT ON TABLE watchbell_drill IS '{note}'; \
             CREATE TYPE mood AS ENUM ('good'); CREATE SCHEMA more; CREATE TABLE more.documents (mood mood); \
             CREATE TABLE documents (id bigserial); CREATE VIEW seen AS SELECT id FROM documents; \
             CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE DOMAIN short AS text; \
             CREATE TYPE pair AS (a int, b int); CREATE TYPE span AS RANGE (subtype = int4); CREATE SEQUENCE free; \
             CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one; SELECT lo_create(4711); CREATE PUBLICATION told; \
             CREATE COLLATION plain FROM \"C\"; CREATE TEXT SEARCH CONFIGURATION words (COPY = simple); \
             CREATE TEXT SEARCH DICTIONARY book (TEMPLATE = simple); \
             CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int4, RIGHTARG = int4)"
        )
    };
    do_all(&inside, &full(&note(&cluster, &run, &home))).await;
    let drill = vault.drill().await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    assert_eq!(texts(&inside, tables).await, [""; 0]);
    do_all(&inside, &full(&note(&cluster, &run, &home))).await;
    let cleanup = server.trigger("backup-cleanup").await;
    server.ended(&cleanup.name).await;
    assert_eq!(texts(&inside, tables).await, [""; 0]);
    do_all(&inside, &full(&note(&cluster, &run, "another"))).await;
    let drill = vault.drill().await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Partial, "{drill:?}");
    assert!(
        drill.message.contains("a drill of another server"),
        "{drill:?}"
    );
    assert_eq!(texts(&inside, tables).await.len(), 3);
    server.stop().await;
}

/// It is there under its name, and the process ended before that was told.
async fn a_new_database_that_an_attempt_has_made_is_found_by_the_next(database: Database) {
    let site = Site::new(database).with_repository();
    let server = backed_up(&site).await;
    let vault = Vault::of(&server, &site);
    let admin = site.database.connect(site.data()).await;
    let new = format!("watchbell_new_{}", uuid::Uuid::now_v7().simple());
    let plan = |name: &str| pb::PlanRestoreRequest {
        restore_point: "restorePoints/latest".to_owned(),
        directory: "new".to_owned(),
        new_database: name.to_owned(),
        ..pb::PlanRestoreRequest::default()
    };
    let mut backups = server.client.backups();
    let reserved = backups.plan_restore(plan("watchbell_drill_mine")).await;
    assert_eq!(reserved.unwrap_err().code(), tonic::Code::InvalidArgument);
    let planned = backups.plan_restore(plan(&new)).await.unwrap().into_inner();
    let run = super::placing::broken_off(&site, &server, &planned.token).await;
    let select = format!("SELECT datname::text FROM pg_database WHERE datname = '{new}'");
    assert_eq!(texts(&admin, &select).await.len(), 1);

    server.advance(3600);
    let run = server.ended(&run).await;

    do_all(&admin, &format!("DROP DATABASE {new}")).await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let said = format!("rows into database {new}");
    assert!(run.message.contains(&said), "{run:?}");
    vault.leaves_nothing_behind(&site).await;
    server.stop().await;
}
