//! Plans of lists of tasks, and where their pages end.

use super::*;
use crate::{
    domain::{TaskSpec, task::Layers},
    store::plan::{empty_store, plan},
};

#[tokio::test]
async fn sqlite_finds_a_page_by_the_index_of_what_is_asked_for() {
    let (_dir, store) = empty_store().await;
    let some = |text: &str| Some(text.to_owned());
    let none = TaskFilter::default();
    let cases = [
        (none.clone(), "tasks_name (name>?)"),
        (
            TaskFilter {
                kind: some("a"),
                ..none.clone()
            },
            "task_facets_kind (kind=? AND name>?)",
        ),
        (
            TaskFilter {
                category: some("a"),
                paused: Some(false),
                ..none.clone()
            },
            "task_facets_category (category=? AND name>?)",
        ),
        (
            TaskFilter {
                kind: some("a"),
                category: some("b"),
                failing: Some(false),
                ..none.clone()
            },
            "task_facets_both (kind=? AND category=? AND name>?)",
        ),
        (
            TaskFilter {
                kind: some("a"),
                paused: Some(true),
                ..none.clone()
            },
            "tasks_paused (name>?)",
        ),
        (
            TaskFilter {
                owner: some("ada"),
                ..none.clone()
            },
            "task_facets_owner (owner=? AND name>?)",
        ),
        (
            TaskFilter {
                kind: some("a"),
                owner: some("ada"),
                paused: Some(false),
                ..none.clone()
            },
            "task_facets_owner (owner=? AND name>?)",
        ),
        (
            TaskFilter {
                category: some("a"),
                failing: Some(true),
                ..none
            },
            "tasks_failing_name (name>?)",
        ),
    ];
    for (filter, index) in cases {
        let page = Page {
            size: 10,
            after: some("m"),
        };
        let upto = index.replace("name>?", "name>? AND name<?");
        let statements = [
            (select(store.sql(""), &filter, &page, None), index),
            (select(store.sql(""), &filter, &page, Some("p")), &upto),
            (end(store.sql(""), &filter, &page), index),
        ];
        for (statement, index) in statements {
            let steps = plan(&store, statement).await;
            let first = steps.iter().find(|step| step.contains(" INDEX "));
            assert!(
                first.is_some_and(|step| step.contains(index)),
                "{filter:?}: {steps:?}"
            );
            // The rows of one page may be sorted anew; those that are looked through may not.
            let sorted = steps.iter().filter(|step| step.contains("TEMP B-TREE"));
            assert!(sorted.count() <= 1, "{filter:?}: {steps:?}");
        }
    }
}

async fn pages(store: &Store, filter: &TaskFilter) -> Vec<usize> {
    let mut page = Page {
        size: 10,
        after: None,
    };
    let mut sizes = Vec::new();
    loop {
        let found = store.tasks(filter, &page).await.unwrap();
        sizes.push(found.items.len());
        page.after = found.next;
        if page.after.is_none() {
            return sizes;
        }
    }
}

#[tokio::test]
async fn a_page_ends_with_the_last_task_that_it_looked_at_and_the_last_page_with_the_list() {
    let (_dir, store) = empty_store().await;
    let not_paused = TaskFilter {
        paused: Some(false),
        failing: Some(false),
        ..TaskFilter::default()
    };
    // All but one are left out: what is looked at, and not what is found, is what ends a page.
    let spec = serde_json::to_string(&TaskSpec::default()).unwrap();
    let layers = serde_json::to_string(&Layers::default()).unwrap();
    let fill = async |numbers: std::ops::RangeInclusive<u64>| {
        let mut tx = store.begin().await.unwrap();
        for number in numbers.clone() {
            let failing = if number == *numbers.end() {
                "NULL"
            } else {
                "1"
            };
            let inserts = [
                format!(
                    "INSERT INTO tasks (id, name, kind, revision, version, cursor_at, created_at, updated_at, audited_at, \
                     consecutive_failures, failing_since, scheduled_from) VALUES \
                     (x'{number:032x}', 't{number:05}', '', 1, 1, 1, 1, 1, 1, 0, {failing}, 1)"
                ),
                format!(
                    "INSERT INTO task_revisions (task_id, revision, effective_from, spec, principal, reason) \
                     VALUES (x'{number:032x}', 1, 1, '{spec}', '', '')"
                ),
                format!(
                    "INSERT INTO task_layers (task_id, layers) VALUES (x'{number:032x}', '{layers}')"
                ),
            ];
            for insert in inserts {
                let insert = tx.sql(&insert).done();
                tx.run(insert).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
    };
    fill(1..=LOOKED_AT).await;
    assert_eq!(
        pages(&store, &not_paused).await,
        [1],
        "as many as a page looks at are one page"
    );
    fill(LOOKED_AT + 1..=LOOKED_AT + 1).await;
    assert_eq!(pages(&store, &not_paused).await, [1, 1]);
    let all = TaskFilter::default();
    assert_eq!(pages(&store, &all).await.iter().sum::<usize>(), 2001);
}

#[test]
fn postgresql_is_told_how_many_before_it_plans() {
    let page = Page {
        size: 10,
        after: None,
    };
    let sql = Sql::new(sea_orm::DbBackend::Postgres, "");
    let statement = select(sql, &TaskFilter::default(), &page, None);
    for limit in [" LIMIT 122) s", " LIMIT 11) s "] {
        assert!(statement.sql.contains(limit), "{}", statement.sql);
    }
}
