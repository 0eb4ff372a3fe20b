//! Instants from outside, in every field that takes one: what cannot be meant there is refused by the field's name.

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet, Timestamp, field_descriptor_proto::Type};
use tonic::Code;
use watchbell_client::pb;

use crate::support::{Database, Site, TaskExt as _, instant, on_both, refused, stamp, violations};

mod calls;

use calls::call;

on_both!(
    no_instant_harms_a_call_and_what_cannot_be_meant_is_refused,
    what_an_instant_can_mean_depends_on_where_it_stands,
);

/// Fields that are read. Others, such as those of a task that tell what the server did, are not.
const READ: [&str; 20] = [
    "CreateTask task.schedule.at",
    "CreateTask task.schedule.start_time",
    "CreateTask task.schedule.end_time",
    "UpdateTask task.schedule.at",
    "UpdateTask task.schedule.start_time",
    "UpdateTask task.schedule.end_time",
    "PauseTask until_time",
    "BackfillTask start_time",
    "BackfillTask end_time",
    "PreviewSchedule schedule.at",
    "PreviewSchedule schedule.start_time",
    "PreviewSchedule schedule.end_time",
    "PreviewSchedule after_time",
    "PreviewSchedule until_time",
    "ListRuns queued_since_time",
    "ListRuns queued_before_time",
    "GetAgenda after_time",
    "GetAgenda until_time",
    "PauseAll until_time",
    "CreateBackupPolicy policy.schedule.at",
];

/// What no calendar writes.
const ABSURD: [(i64, i32); 8] = [
    (-377_705_116_800, 0),
    (-62_135_596_801, 0),
    (253_402_300_800, 0),
    (i64::MIN, 0),
    (i64::MAX, 0),
    (1_772_452_800, -1),
    (1_772_452_800, 1_000_000_000),
    (1_772_452_800, i32::MIN),
];
/// The first and the last that are read anywhere.
const EXTREME: [(i64, i32); 3] = [(-62_135_596_800, 0), (253_370_764_799, 999_999_999), (0, 1)];

/// Path of a field of type `Timestamp`, by names and by numbers.
#[derive(Clone, Default)]
struct Path {
    names: Vec<String>,
    numbers: Vec<u32>,
}

/// All requests that are one message, by their method, with each field below that is an instant.
fn requests() -> Vec<(String, Path)> {
    let set = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap();
    let own = |name: Option<&str>| name.is_some_and(|name| name.starts_with("watchbell."));
    let files = set.file.iter().filter(|file| own(file.package.as_deref()));
    let messages: Vec<&DescriptorProto> = files
        .clone()
        .flat_map(|file| file.message_type.iter())
        .collect();
    let mut found = Vec::new();
    for method in files.flat_map(|file| file.service.iter().flat_map(|service| &service.method)) {
        if method.client_streaming() {
            continue;
        }
        let mut paths = Vec::new();
        walk(&messages, method.input_type(), &Path::default(), &mut paths);
        let named = |path| (method.name().to_owned(), path);
        found.extend(paths.into_iter().map(named));
    }
    found
}

fn walk(messages: &[&DescriptorProto], of: &str, above: &Path, found: &mut Vec<Path>) {
    let name = of.rsplit('.').next().unwrap();
    let Some(message) = messages.iter().find(|message| message.name() == name) else {
        return;
    };
    for field in &message.field {
        // Deeper than any request, and no message holds itself.
        if field.r#type() != Type::Message || 5 < above.names.len() {
            continue;
        }
        let mut path = above.clone();
        path.names.push(field.name().to_owned());
        path.numbers.push(u32::try_from(field.number()).unwrap());
        match field.type_name() {
            ".google.protobuf.Timestamp" => found.push(path),
            below if below.starts_with(".watchbell.") => walk(messages, below, &path, found),
            _ => {}
        }
    }
}

/// The field with an instant, as it is added to a message.
fn field(path: &Path, (seconds, nanos): (i64, i32)) -> Vec<u8> {
    let mut bytes = Timestamp { seconds, nanos }.encode_to_vec();
    for number in path.numbers.iter().rev() {
        let mut outer = Vec::new();
        // 2: what has a length.
        prost::encoding::encode_varint(u64::from(*number) << 3 | 2, &mut outer);
        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.extend(bytes);
        bytes = outer;
    }
    bytes
}

/// Whether the server reads the field: of policies as of tasks.
fn is_read(method: &str, path: &str) -> bool {
    let of_policies = path.starts_with("policy.schedule.");
    of_policies || READ.contains(&format!("{method} {path}").as_str())
}

async fn no_instant_harms_a_call_and_what_cannot_be_meant_is_refused(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    server.create("task", instant().cron("0 * * * *")).await;
    server.create("by-hand", instant()).await;
    let drafted = pb::CreateDocumentRequest {
        actor: "ann".to_owned(),
        document: Some(pb::Document {
            number: "SOP-2".to_owned(),
            title: "title".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut documents = server.client.documents();
    documents.create_document(drafted).await.unwrap();
    server.advance(3600);
    let requests = requests();
    for read in READ {
        let there = requests
            .iter()
            .any(|(method, path)| format!("{method} {}", path.names.join(".")) == read);
        assert!(there, "{read}");
    }
    for (method, path) in &requests {
        let named = path.names.join(".");
        for at in ABSURD {
            let about = format!("{method} {named} {at:?}");
            let answer = call(&server, method, &field(path, at)).await;
            if !is_read(method, &named) {
                answer.expect(&about);
                continue;
            }
            let (code, _, status) = refused(answer);
            assert_eq!(code, Code::InvalidArgument, "{about}: {status:?}");
            let [field] = &violations(&status)[..] else {
                panic!("{about}: {status:?}")
            };
            assert!(
                named == *field || named.ends_with(&format!(".{field}")),
                "{about}: {field}"
            );
            assert!(status.message().contains("expected"), "{about}: {status:?}");
        }
        for at in EXTREME {
            let about = format!("{method} {named} {at:?}");
            match call(&server, method, &field(path, at)).await {
                Ok(()) => {}
                answer => {
                    let (code, _, status) = refused(answer);
                    assert_eq!(code, Code::InvalidArgument, "{about}: {status:?}");
                    let fields = violations(&status);
                    // A backfill from the first instant on holds too many slots.
                    let is_instant = |field: &String| {
                        field.ends_with("_time")
                            || field.ends_with("schedule.at")
                            || field == "max_count"
                    };
                    assert!(fields.iter().all(is_instant), "{about}: {status:?}");
                }
            }
        }
    }
    // Nothing was paused, and it still runs what is due.
    assert_eq!(server.status().await.pause, None);
    let run = server.trigger("task").await;
    server.ended(&run.name).await;
    server.stop().await;
}

async fn what_an_instant_can_mean_depends_on_where_it_stands(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("0 * * * *")).await;
    server.advance(3600);
    let at = |text: &str| Some(stamp(text.parse().unwrap()));
    let mut tasks = server.client.tasks();
    let mut refusals = Vec::new();
    let backfill = |start, end| pb::BackfillTaskRequest {
        name: "tasks/task".to_owned(),
        start_time: at(start),
        end_time: at(end),
        validate_only: true,
        ..Default::default()
    };
    for (start, end) in [
        ("2026-03-02T12:00:00Z", "2026-03-02T14:00:00Z"),
        ("2026-03-02T12:00:00Z", "2026-03-02T11:00:00Z"),
    ] {
        let (_, _, status) = refused(tasks.backfill_task(backfill(start, end)).await);
        refusals.push((violations(&status).concat(), status));
    }
    // All there ever was begins with the first slot.
    for start in ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z"] {
        let all = backfill(start, "1970-01-01T02:00:00Z");
        let answer = tasks.backfill_task(all).await.unwrap().into_inner();
        assert_eq!(answer.run_count, 2, "{start}");
    }
    for until in ["2026-03-02T12:00:00Z", "2036-04-01T00:00:00Z"] {
        let pause = pb::PauseTaskRequest {
            name: "tasks/task".to_owned(),
            until_time: at(until),
            ..Default::default()
        };
        let (_, _, status) = refused(tasks.pause_task(pause).await);
        refusals.push((violations(&status).concat(), status));
    }
    let preview = pb::PreviewScheduleRequest {
        task: "tasks/task".to_owned(),
        after_time: at("2026-03-02T12:00:00Z"),
        until_time: at("2026-03-02T11:00:00Z"),
        ..Default::default()
    };
    let (_, _, status) = refused(tasks.preview_schedule(preview.clone()).await);
    refusals.push((violations(&status).concat(), status));
    let empty = pb::PreviewScheduleRequest {
        until_time: preview.after_time,
        ..preview
    };
    let answer = tasks.preview_schedule(empty).await.unwrap().into_inner();
    assert!(answer.fires.is_empty(), "{answer:?}");
    let list = pb::ListRunsRequest {
        queued_since_time: at("2026-03-02T12:00:00Z"),
        queued_before_time: at("2026-03-02T11:00:00Z"),
        ..Default::default()
    };
    let mut runs = server.client.runs();
    let (_, _, status) = refused(runs.list_runs(list.clone()).await);
    refusals.push((violations(&status).concat(), status));
    let empty = pb::ListRunsRequest {
        queued_before_time: list.queued_since_time,
        ..list
    };
    let answer = runs.list_runs(empty).await.unwrap().into_inner();
    assert!(answer.runs.is_empty(), "{answer:?}");
    let told = [
        ("end_time", "2026-03-02T13:00:00Z"),
        ("end_time", "2026-03-02T12:00:00Z"),
        ("until_time", "2026-03-02T13:00:00Z"),
        ("until_time", "2036-03-09T13:00:00Z"),
        ("until_time", "from after_time on, 2026-03-02T12:00:00Z"),
        (
            "queued_before_time",
            "from queued_since_time on, 2026-03-02T12:00:00Z",
        ),
    ];
    assert_eq!(refusals.len(), told.len());
    for ((field, status), (wanted, bound)) in refusals.iter().zip(told) {
        assert_eq!(field, wanted, "{status:?}");
        assert!(status.message().contains(bound), "{bound}: {status:?}");
    }
    server.stop().await;
}
