//! Policies own their tasks: there is one schedule, and it is the policy's.

use tonic::Code;
use watchbell_client::pb;

use super::vault::Vault;
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    policies_that_ship_have_the_seeds_times_and_their_tasks,
    a_policy_makes_changes_and_ends_its_task,
    a_task_of_a_policy_is_changed_through_the_policy_alone,
    bad_policies_are_refused_by_their_field,
    a_policy_that_is_disabled_or_lacks_something_does_not_run_and_says_so,
);

fn policy(cron: &str) -> pb::BackupPolicy {
    pb::BackupPolicy {
        kind: pb::BackupKind::Full.into(),
        description: "every noon".to_owned(),
        schedule: Some(pb::Schedule {
            cron: cron.to_owned(),
            ..pb::Schedule::default()
        }),
        retention: Some(pb::RetentionPolicy {
            keep_last: 3,
            keep_daily: 7,
            ..pb::RetentionPolicy::default()
        }),
        ..pb::BackupPolicy::default()
    }
}

async fn policies_that_ship_have_the_seeds_times_and_their_tasks(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let policies = vault.policies().await;
    let told: Vec<(&str, &str, i32)> = policies
        .iter()
        .map(|policy| {
            let cron = &policy.schedule.as_ref().unwrap().cron;
            let keep = policy.retention.as_ref().unwrap().keep_last;
            (policy.name.as_str(), cron.as_str(), keep)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("backupPolicies/daily-full", "0 2 * * *", 30),
            ("backupPolicies/monthly-archive", "0 4 1 * *", 12),
            ("backupPolicies/pre-deployment", "", 20),
            ("backupPolicies/weekly-export", "0 3 * * 0", 12),
        ]
    );
    let archive = &policies[1];
    assert_eq!(archive.state(), pb::BackupPolicyState::Unavailable);
    assert!(
        archive.state_message.contains("[backups.archive]"),
        "{archive:?}"
    );
    for (task, cron) in [
        ("backup-daily-full", "0 2 * * *"),
        ("backup-weekly-export", "0 3 * * 0"),
        ("backup-monthly-archive", ""),
        ("backup-pre-deployment", ""),
        ("backup-cleanup", "0 5 * * *"),
        ("verify-backups", "0 6 * * *"),
    ] {
        let task = server.task(task).await;
        assert_eq!(task.schedule.unwrap().cron, cron, "{}", task.name);
        assert_eq!(task.category, "Backup & Recovery", "{}", task.name);
    }
    assert_eq!(server.task("backup-daily-full").await.priority, Some(9));
    server.stop().await;
}

async fn a_policy_makes_changes_and_ends_its_task(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let made = vault
        .create_policy("noon", policy("0 12 * * *"))
        .await
        .unwrap();
    assert_eq!(made.sources, ["database", "content"]);
    assert_eq!(
        server.task("backup-noon").await.origin(),
        pb::TaskOrigin::Policy
    );
    assert_eq!(
        server.task("backup-noon").await.schedule.unwrap().cron,
        "0 12 * * *"
    );

    let changed = pb::BackupPolicy {
        name: made.name.clone(),
        etag: made.etag.clone(),
        schedule: policy("30 12 * * *").schedule,
        ..pb::BackupPolicy::default()
    };
    let changed = vault.update_policy(changed, &["schedule"]).await.unwrap();
    assert_eq!(changed.retention, made.retention, "nothing else is touched");
    assert_eq!(
        server.task("backup-noon").await.schedule.unwrap().cron,
        "30 12 * * *"
    );

    // What was read before is another policy's state now.
    let stale = pb::BackupPolicy {
        name: made.name.clone(),
        etag: made.etag,
        ..pb::BackupPolicy::default()
    };
    let (code, reason, _) = refused(vault.update_policy(stale, &["description"]).await);
    assert_eq!((code, reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));

    vault.delete_policy(&made.name).await.unwrap();
    let gone = pb::GetTaskRequest {
        name: "tasks/backup-noon".to_owned(),
    };
    let gone = server.client.tasks().get_task(gone).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    let (code, reason, _) = refused(vault.delete_policy("backupPolicies/daily-full").await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "NOT_DELETABLE")
    );
    server.stop().await;
}

async fn a_task_of_a_policy_is_changed_through_the_policy_alone(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let task = |cron: &str, priority: i32| pb::UpdateTaskRequest {
        task: Some(pb::Task {
            name: "tasks/backup-daily-full".to_owned(),
            schedule: policy(cron).schedule,
            priority: Some(priority),
            ..pb::Task::default()
        }),
        update_mask: None,
        ..pb::UpdateTaskRequest::default()
    };
    let mut tasks = server.client.tasks();
    let (code, reason, status) = refused(tasks.update_task(task("0 3 * * *", 9)).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "OWNED_BY_POLICY")
    );
    assert!(
        status.message().contains("backupPolicies/daily-full"),
        "{status:?}"
    );

    let mut priority = task("", 4);
    priority.update_mask = Some(prost_types::FieldMask {
        paths: vec!["priority".to_owned()],
    });
    let changed = tasks
        .update_task(priority)
        .await
        .unwrap()
        .into_inner()
        .task
        .unwrap();
    assert_eq!(changed.priority, Some(4));
    assert_eq!(changed.schedule.unwrap().cron, "0 2 * * *");

    let paused = tasks.pause_task(pb::PauseTaskRequest {
        name: "tasks/backup-daily-full".to_owned(),
        reason: "the disk is being changed".to_owned(),
        ..pb::PauseTaskRequest::default()
    });
    paused.await.unwrap();
    let vault = Vault::of(&server, &site);
    let (code, reason, _) = refused(vault.begin("daily-full").await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "PAUSED")
    );
    server.stop().await;
}

async fn bad_policies_are_refused_by_their_field(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let with = |change: fn(&mut pb::BackupPolicy)| {
        let mut policy = policy("0 12 * * *");
        change(&mut policy);
        policy
    };
    let wrong: [(&str, pb::BackupPolicy); 8] = [
        (
            "policy.schedule.cron",
            with(|policy| policy.schedule.as_mut().unwrap().cron = "61 * * * *".into()),
        ),
        (
            "policy.sources",
            with(|policy| policy.sources = vec!["/etc".into()]),
        ),
        (
            "policy.sources",
            with(|policy| policy.sources = vec!["content".into(), "content".into()]),
        ),
        (
            "policy.retention.keep_last",
            with(|policy| policy.retention = Some(pb::RetentionPolicy::default())),
        ),
        ("policy.retention", with(|policy| policy.retention = None)),
        ("policy.kind", with(|policy| policy.kind = 0)),
        ("policy.priority", with(|policy| policy.priority = Some(10))),
        (
            "policy.description",
            with(|policy| policy.description = "x".repeat(1001)),
        ),
    ];
    for (field, policy) in wrong {
        let status = vault.create_policy("noon", policy).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert_eq!(violations(&status), [field]);
    }
    for id in ["", "-a", "A", &"a".repeat(57)] {
        let status = vault
            .create_policy(id, policy("0 12 * * *"))
            .await
            .unwrap_err();
        assert_eq!(violations(&status), ["policy_id"], "{id}");
    }
    // The name of its task is another's.
    let (code, _, _) = refused(vault.create_policy("cleanup", policy("0 12 * * *")).await);
    assert_eq!(code, Code::AlreadyExists);
    assert_eq!(vault.policies().await.len(), 4, "nothing was made");
    server.stop().await;
}

async fn a_policy_that_is_disabled_or_lacks_something_does_not_run_and_says_so(database: Database) {
    let mut site = Site::configured(
        database,
        "[backups.sources.site]\npaths = [\"/etc/hostname\"]\n",
    );
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let mut noon = policy("0 12 * * *");
    noon.sources = vec!["site".to_owned()];
    vault.create_policy("noon", noon).await.unwrap();
    let disabled = pb::BackupPolicy {
        name: "backupPolicies/daily-full".to_owned(),
        enabled: Some(false),
        ..pb::BackupPolicy::default()
    };
    let disabled = vault.update_policy(disabled, &["enabled"]).await.unwrap();
    assert_eq!(disabled.state(), pb::BackupPolicyState::Disabled);
    assert_eq!(
        server
            .task("backup-daily-full")
            .await
            .schedule
            .unwrap()
            .cron,
        ""
    );
    let (code, reason, _) = refused(vault.begin("daily-full").await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "POLICY_DISABLED")
    );
    let (code, reason, _) = refused(vault.begin("monthly-archive").await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "POLICY_UNAVAILABLE")
    );
    server.stop().await;

    site.configure("");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let noon = vault
        .policies()
        .await
        .into_iter()
        .find(|policy| policy.name.ends_with("noon"))
        .unwrap();
    assert_eq!(noon.state(), pb::BackupPolicyState::Unavailable, "{noon:?}");
    assert_eq!(server.task("backup-noon").await.schedule.unwrap().cron, "");
    server.problem("backup.unavailable").await;
    server.stop().await;
}
