//! Stories of drift by pages: what one leaves off is counted.

use watchbell_client::pb;

use crate::{
    catalogue::{FILE, set_priority},
    support::{Database, Site, instant, on_both},
};

on_both!(a_page_of_drift_says_how_many_tasks_it_leaves_off);

async fn a_page_of_drift_says_how_many_tasks_it_leaves_off(database: Database) {
    let site = Site::configured(database, FILE);
    let server = site.start().await;
    set_priority(&server, "from-file").await;
    for name in ["twin-1", "twin-2", "twin-3"] {
        server.create(name, instant()).await;
    }
    let mut told = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::GetDriftRequest {
            page_size: 1,
            page_token,
        };
        let answer = server.client.scheduler().get_drift(request).await;
        let answer = answer.unwrap().into_inner();
        let subjects: Vec<String> = answer.items.into_iter().map(|item| item.subject).collect();
        assert!(!answer.left_off_may_be_more);
        told.push((subjects.join(" "), answer.left_off_count));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let pages = [
        ("from-file", 3),
        ("twin-1", 2),
        ("twin-2", 1),
        ("twin-3", 0),
    ];
    let pages = pages.map(|(task, left)| (format!("tasks/{task}"), left));
    assert_eq!(told, pages);
    server.stop().await;
}
