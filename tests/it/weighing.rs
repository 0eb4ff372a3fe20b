//! What a run weighs in the database, with its slot and all that is told of it.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

use crate::support::{Database, Site, TaskExt as _, instant, on_both, until};

on_both!(a_run_that_does_nothing_weighs_little);

const TASKS: i64 = 40;
const SECONDS: i64 = 50;

async fn number(database: &DatabaseConnection, select: &str) -> i64 {
    let select = Statement::from_string(database.get_database_backend(), select);
    let row = database.query_one_raw(select).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// The bytes of the whole database, without what holds nothing.
async fn weight(site: &Site) -> i64 {
    let fate = site.database.connect(site.data()).await;
    let (vacuum, select) = match site.database.is_postgresql() {
        true => (
            "VACUUM FULL",
            "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c JOIN pg_namespace n \
             ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r'",
        ),
        false => (
            "VACUUM",
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        ),
    };
    fate.execute_unprepared(vacuum).await.unwrap();
    let weight = number(&fate, select).await;
    fate.close().await.unwrap();
    weight
}

async fn a_run_that_does_nothing_weighs_little(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for task in 0..TASKS {
        let name = format!("task-{task:02}");
        server.create(&name, instant().every(1)).await;
    }
    server.stop().await;
    let before = weight(&site).await;

    let server = site.start().await;
    for _ in 0..SECONDS {
        server.advance(1);
        server.decided("task-00", server.now()).await;
    }
    let fate = site.database.connect(site.data()).await;
    let select = "SELECT count(*) FROM runs WHERE state = 'succeeded'";
    until("all of them to end", async || {
        let ended = number(&fate, select).await;
        (TASKS * (SECONDS - 1) <= ended).then_some(())
    })
    .await;
    server.stop().await;
    // Those of the last second among them, which it has waited for.
    let ended = number(&fate, select).await;
    fate.close().await.unwrap();
    let each = (weight(&site).await - before) / ended;
    let limit = if site.database.is_postgresql() {
        1800
    } else {
        1300
    };
    eprintln!("{ended} runs weigh {each} bytes each");
    assert!(each <= limit, "{each} bytes each");
}
