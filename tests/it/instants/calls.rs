//! Calls with a field more, and otherwise right.

use prost::Message;
use tonic::Status;
use watchbell_client::pb;

use crate::support::{Server, instant, noon, stamp};

fn decoded<T: Message + Default>(base: T, field: &[u8]) -> T {
    let mut bytes = base.encode_to_vec();
    bytes.extend(field);
    T::decode(bytes.as_slice()).unwrap()
}

/// The call with that field, and otherwise right.
pub(super) async fn call(server: &Server, method: &str, field: &[u8]) -> Result<(), Status> {
    let client = &server.client;
    let name = || "tasks/task".to_owned();
    match method {
        "CreateTask" => {
            let base = pb::CreateTaskRequest {
                task_id: "new".to_owned(),
                task: Some(instant()),
                validate_only: true,
                ..Default::default()
            };
            let request = decoded(base, field);
            client.tasks().create_task(request).await.map(drop)
        }
        "UpdateTask" => {
            let base = pb::UpdateTaskRequest {
                task: Some(pb::Task {
                    name: "tasks/by-hand".to_owned(),
                    ..Default::default()
                }),
                validate_only: true,
                ..Default::default()
            };
            let request = decoded(base, field);
            client.tasks().update_task(request).await.map(drop)
        }
        "PauseTask" => {
            let base = pb::PauseTaskRequest {
                name: name(),
                ..Default::default()
            };
            let request = decoded(base, field);
            client.tasks().pause_task(request).await.map(drop)
        }
        "BackfillTask" => {
            let base = pb::BackfillTaskRequest {
                name: name(),
                start_time: Some(stamp(noon())),
                end_time: Some(stamp(server.now())),
                validate_only: true,
                ..Default::default()
            };
            let request = decoded(base, field);
            client.tasks().backfill_task(request).await.map(drop)
        }
        "PreviewSchedule" => {
            let request = match field.first() {
                // The schedule, which is previewed instead of the task's.
                Some(10) => decoded(pb::PreviewScheduleRequest::default(), field),
                _ => decoded(
                    pb::PreviewScheduleRequest {
                        task: name(),
                        ..Default::default()
                    },
                    field,
                ),
            };
            client.tasks().preview_schedule(request).await.map(drop)
        }
        "ListRuns" => {
            let request = decoded(pb::ListRunsRequest::default(), field);
            client.runs().list_runs(request).await.map(drop)
        }
        "GetAgenda" => {
            let request = decoded(pb::GetAgendaRequest::default(), field);
            client.scheduler().get_agenda(request).await.map(drop)
        }
        "PauseAll" => {
            let request = decoded(pb::PauseAllRequest::default(), field);
            client.scheduler().pause_all(request).await.map(drop)
        }
        "CreateBackupPolicy" => {
            let base = pb::CreateBackupPolicyRequest {
                policy_id: "new".to_owned(),
                policy: Some(pb::BackupPolicy {
                    kind: pb::BackupKind::Full.into(),
                    retention: Some(pb::RetentionPolicy {
                        keep_last: 3,
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                validate_only: true,
                ..Default::default()
            };
            let request = decoded(base, field);
            client
                .backups()
                .create_backup_policy(request)
                .await
                .map(drop)
        }
        "UpdateBackupPolicy" => {
            let base = pb::UpdateBackupPolicyRequest {
                policy: Some(pb::BackupPolicy {
                    name: "backupPolicies/pre-deployment".to_owned(),
                    ..Default::default()
                }),
                validate_only: true,
                ..Default::default()
            };
            let request = decoded(base, field);
            client
                .backups()
                .update_backup_policy(request)
                .await
                .map(drop)
        }
        "CreateDocument" => {
            let base = pb::CreateDocumentRequest {
                actor: "ann".to_owned(),
                document: Some(pb::Document {
                    number: "SOP-1".to_owned(),
                    title: "title".to_owned(),
                    ..Default::default()
                }),
                validate_only: true,
                ..Default::default()
            };
            let request = decoded(base, field);
            client.documents().create_document(request).await.map(drop)
        }
        "UpdateDocument" => {
            let base = pb::UpdateDocumentRequest {
                actor: "ann".to_owned(),
                document: Some(pb::Document {
                    name: "documents/SOP-2".to_owned(),
                    title: "another".to_owned(),
                    ..Default::default()
                }),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["title".to_owned()],
                }),
                validate_only: true,
                ..Default::default()
            };
            let request = decoded(base, field);
            client.documents().update_document(request).await.map(drop)
        }
        other => panic!("{other} takes instants: say here how it is called"),
    }
}
