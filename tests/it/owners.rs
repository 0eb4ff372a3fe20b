//! Whose a task is: said by the configuration or the API, shown, and asked for.

use tonic::Code;
use watchbell_client::pb;

use crate::{
    catalogue::update,
    support::{Database, Server, Site, instant, on_both, refused, violations},
};

on_both!(
    tasks_are_found_by_whose_they_are,
    an_owner_that_is_no_line_is_refused_and_changes_nothing,
);

const FILE: &str = r#"
[tasks.of-ada]
kind = "instant"
owner = "ada@example.org"

[tasks.of-nobody]
kind = "instant"
"#;

fn owned(owner: &str) -> pb::Task {
    pb::Task {
        owner: owner.to_owned(),
        ..instant()
    }
}

/// Names of the tasks that a list with this filter holds, in pages of one.
async fn names(server: &Server, filter: pb::ListTasksRequest) -> Vec<String> {
    let mut names = Vec::new();
    let mut request = pb::ListTasksRequest {
        page_size: 1,
        ..filter
    };
    loop {
        let answer = server.client.tasks().list_tasks(request.clone()).await;
        let answer = answer.unwrap().into_inner();
        names.extend(answer.tasks.into_iter().map(|task| task.name));
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            return names;
        }
    }
}

fn of(owner: &str) -> pb::ListTasksRequest {
    pb::ListTasksRequest {
        owner: owner.to_owned(),
        ..Default::default()
    }
}

async fn tasks_are_found_by_whose_they_are(database: Database) {
    let mut site = Site::configured(database, FILE);
    let server = site.start().await;
    assert_eq!(server.task("of-ada").await.owner, "ada@example.org");
    assert_eq!(server.task("of-nobody").await.owner, "");
    let made = server.create("also-of-ada", owned("ada@example.org")).await;
    assert_eq!(made.owner, "ada@example.org");
    server.create("of-bob", owned("Bob")).await;

    let adas = ["tasks/also-of-ada", "tasks/of-ada"];
    assert_eq!(names(&server, of("ada@example.org")).await, adas);
    assert_eq!(names(&server, of("Bob")).await, ["tasks/of-bob"]);
    for nobody in ["bob", "ada", "ADA@example.org"] {
        assert!(names(&server, of(nobody)).await.is_empty(), "{nobody}");
    }
    let both = pb::ListTasksRequest {
        kind: "instant".to_owned(),
        paused: Some(false),
        ..of("ada@example.org")
    };
    assert_eq!(names(&server, both).await, adas);
    let other_kind = pb::ListTasksRequest {
        kind: "command".to_owned(),
        ..of("ada@example.org")
    };
    assert!(names(&server, other_kind).await.is_empty());

    // As an override, as which it outlives the file's change; and back.
    let change = pb::Task {
        name: "tasks/of-ada".to_owned(),
        owner: "Bob".to_owned(),
        ..pb::Task::default()
    };
    let changed = update(&server, change.clone(), &["owner"]).await;
    assert_eq!(
        (changed.owner.as_str(), changed.overrides[0].field.as_str()),
        ("Bob", "owner")
    );
    assert_eq!(
        names(&server, of("Bob")).await,
        ["tasks/of-ada", "tasks/of-bob"]
    );
    let drift = pb::GetDriftRequest::default();
    let drift = server.client.scheduler().get_drift(drift).await;
    let drift = drift.unwrap().into_inner();
    let told = drift
        .items
        .iter()
        .find(|item| item.subject == "tasks/of-ada");
    assert!(
        told.is_some_and(|item| item.message.contains("owner")),
        "{drift:?}"
    );
    server.stop().await;

    site.configure(&FILE.replace("ada@", "zoe@"));
    let server = site.start().await;
    assert_eq!(server.task("of-ada").await.owner, "Bob");
    let nobodys = pb::Task {
        owner: String::new(),
        ..change
    };
    let changed = update(&server, nobodys, &["owner"]).await;
    assert_eq!(changed.owner, "", "the default, over the file's");
    assert_eq!(names(&server, of("Bob")).await, ["tasks/of-bob"]);
    server.stop().await;
}

async fn an_owner_that_is_no_line_is_refused_and_changes_nothing(database: Database) {
    let mut site = Site::configured(database, FILE);
    let server = site.start().await;
    let before = server.task("of-ada").await;
    for owner in ["x".repeat(257), "ada\nbob".to_owned()] {
        let request = pb::CreateTaskRequest {
            task_id: "new".to_owned(),
            task: Some(owned(&owner)),
            ..Default::default()
        };
        let (code, _, status) = refused(server.client.tasks().create_task(request).await);
        assert_eq!(code, Code::InvalidArgument);
        let wrong = violations(&status).join(" ");
        assert!(wrong.contains("owner"), "{wrong}");
        let request = pb::UpdateTaskRequest {
            task: Some(pb::Task {
                name: "tasks/of-ada".to_owned(),
                owner,
                ..pb::Task::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["owner".to_owned()],
            }),
            ..Default::default()
        };
        let (code, _, _) = refused(server.client.tasks().update_task(request).await);
        assert_eq!(code, Code::InvalidArgument);
    }
    assert_eq!(server.task("of-ada").await, before);
    let (code, _, _) = refused(server.client.tasks().list_tasks(of("a\0")).await);
    assert_eq!(code, Code::InvalidArgument);
    server.stop().await;

    site.configure(&FILE.replace("ada@example.org", "ada\\nbob"));
    let error = format!("{:#}", site.try_start().await.unwrap_err());
    assert!(
        error.contains("of-ada") && error.contains("owner"),
        "{error}"
    );
}
