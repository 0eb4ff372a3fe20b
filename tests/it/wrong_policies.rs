//! What requests about backups get of which several fields are wrong: all of them, each by its name.

use watchbell_client::pb;

use crate::{
    support::{Database, Site, on_both},
    wrong_fields::{check, long, wrong_task},
};

on_both!(calls_of_backups_name_all_that_is_wrong);

async fn calls_of_backups_name_all_that_is_wrong(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let mut backups = server.client.backups();
    let schedule = wrong_task().schedule;
    let policy = pb::BackupPolicy {
        kind: pb::BackupKind::Full.into(),
        schedule,
        priority: Some(10),
        sources: vec!["nowhere".to_owned()],
        retention: Some(pb::RetentionPolicy {
            keep_daily: 1_000_000,
            ..Default::default()
        }),
        ..Default::default()
    };
    let of_its_own = [
        "policy.priority",
        "policy.sources",
        "policy.retention.keep_daily",
        "policy.schedule.time_zone",
        "policy.schedule.cron",
        "policy.schedule.spread",
    ];
    let create = |policy_id: &str, policy: &pb::BackupPolicy| pb::CreateBackupPolicyRequest {
        policy_id: policy_id.to_owned(),
        policy: Some(policy.clone()),
        ..Default::default()
    };
    let made = backups.create_backup_policy(create("noon", &policy)).await;
    check(made, &of_its_own);
    let mut unread = policy.clone();
    unread.kind = 0;
    unread.retention = Some(pb::RetentionPolicy {
        keep_daily: -1,
        keep_last: -1,
        ..Default::default()
    });
    let made = backups.create_backup_policy(create("No Id", &unread)).await;
    let wrong = [
        "policy_id",
        "policy.kind",
        "policy.retention.keep_last",
        "policy.retention.keep_daily",
    ];
    check(made, &wrong);
    let mut changed = policy;
    changed.name = "backupPolicies/daily-full".to_owned();
    let update = pb::UpdateBackupPolicyRequest {
        policy: Some(changed),
        ..Default::default()
    };
    check(backups.update_backup_policy(update).await, &of_its_own);
    let run = pb::RunBackupRequest {
        name: "noon".to_owned(),
        reason: long(),
        ..Default::default()
    };
    check(backups.run_backup(run).await, &["name", "reason"]);
    let pin = pb::PinRestorePointRequest {
        name: "latest".to_owned(),
        pinned: true,
        ..Default::default()
    };
    check(backups.pin_restore_point(pin).await, &["name", "reason"]);
    let remove = pb::RemoveRestorePointRequest {
        name: "latest".to_owned(),
        ..Default::default()
    };
    check(
        backups.remove_restore_point(remove).await,
        &["name", "reason"],
    );
    let accept = pb::AcceptRestorePointRequest {
        name: "latest".to_owned(),
        ..Default::default()
    };
    check(
        backups.accept_restore_point(accept).await,
        &["name", "reason"],
    );
    let verify = pb::VerifyRestorePointRequest {
        name: "latest".to_owned(),
        level: 77,
        reason: long(),
        ..Default::default()
    };
    let wrong = ["name", "level", "reason"];
    check(backups.verify_restore_point(verify).await, &wrong);
    let plan = pb::PlanRetentionRequest {
        policy: "noon".to_owned(),
        retention: Some(pb::RetentionPolicy {
            keep_last: -1,
            ..Default::default()
        }),
    };
    let wrong = ["policy", "retention.keep_last"];
    check(backups.plan_retention(plan).await, &wrong);
    let plan = pb::PlanRestoreRequest {
        restore_point: "latest".to_owned(),
        directory: "../a".to_owned(),
        paths: vec!["a".to_owned()],
        ..Default::default()
    };
    let wrong = ["restore_point", "directory", "paths"];
    check(backups.plan_restore(plan).await, &wrong);
    let execute = pb::ExecuteRestoreRequest {
        reason: long(),
        ..Default::default()
    };
    check(backups.execute_restore(execute).await, &["token", "reason"]);
    server.stop().await;
}
