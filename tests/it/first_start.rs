//! The first start, which makes the tasks; of two replicas at one time, too.

use watchbell_client::pb;

use crate::support::{Database, Site, on_postgresql};

on_postgresql!(two_replicas_that_start_at_once_make_each_task_once);

async fn two_replicas_that_start_at_once_make_each_task_once(database: Database) {
    let mut toml = String::new();
    for number in 0..500 {
        toml += &format!("[tasks.of-many-{number:03}]\nkind = \"instant\"\n");
    }
    let site = Site::configured(database.empty().await, &toml);
    let (first, second) = tokio::join!(site.start(), site.start());
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListTasksRequest {
            page_size: 1000,
            page_token,
            ..Default::default()
        };
        let answer = second.client.tasks().list_tasks(request).await.unwrap();
        let answer = answer.into_inner();
        names.extend(answer.tasks.into_iter().map(|task| task.name));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    names.retain(|name| name.starts_with("tasks/of-many-"));
    assert_eq!(names.len(), 500);
    let run = first.trigger("of-many-499").await;
    first.ended(&run.name).await;
    first.stop().await;
    second.stop().await;
}
