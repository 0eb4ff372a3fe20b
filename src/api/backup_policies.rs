//! What `BackupService` does with policies.

use prost::Message as _;
use tonic::{Request, Response};

use super::{
    Api, Reply, backup_names, convert, names, page, policy_fields, policy_fields::Fields,
    request::Asked,
};
use crate::{
    backup::Standing,
    domain::{
        Run,
        backup::{
            PolicyId, PolicyKind,
            policy::{OWN_SOURCES, Policy, default_priority, default_sources},
            retention::Retention,
        },
        schedule::ScheduleSpec,
    },
    engine::TriggerOrder,
    error::{Error, Result, all},
    pb,
    store::{Page, PageOf},
};

impl Api {
    pub(super) async fn answer_list_policies(
        &self,
        request: pb::ListBackupPoliciesRequest,
    ) -> Reply<pb::ListBackupPoliciesResponse> {
        let size = page::default_size(request.page_size)?;
        let scope = page::scope(&["ListBackupPolicies"]);
        let after: Option<PolicyId> = page::key(&scope, &request.page_token)?
            .map(|id| page::read(&id))
            .transpose()?;
        let after = after.map(|id| id.to_string());
        let store = self.backups.store();
        let PageOf { items, next } = store.policies_page(Page { size, after }).await?;
        let mut policies = Vec::with_capacity(items.len());
        for policy in items {
            policies.push(self.shown(self.backups.standing(policy)).await?);
        }
        let kept = page::fit(&policies);
        let next = match policies.get(kept.saturating_sub(1)) {
            Some(last) if kept < policies.len() => {
                last.name.strip_prefix("backupPolicies/").map(str::to_owned)
            }
            _ => next,
        };
        policies.truncate(kept);
        let token = next.map(|id| page::token(&scope, &id));
        Ok(Response::new(pb::ListBackupPoliciesResponse {
            policies,
            next_page_token: token.unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_get_policy(
        &self,
        request: pb::GetBackupPolicyRequest,
    ) -> Reply<pb::GetBackupPolicyResponse> {
        let id = backup_names::policy("name", &request.name)?;
        let policy = self.backups.store().policy(&id).await?;
        let policy = self.shown(self.backups.standing(policy)).await?;
        Ok(Response::new(pb::GetBackupPolicyResponse {
            policy: Some(policy),
        }))
    }

    /// A policy with what is known of its points and its task.
    async fn shown(&self, standing: Standing) -> Result<pb::BackupPolicy> {
        let store = self.backups.store();
        let policy = &standing.policy;
        let id = policy.id.as_str();
        let good = store.point_newest_good(policy.kind, Some(id)).await?;
        let count = store.points_of_count(id).await?;
        let (next, pause) = match store.task(&policy.task()?).await {
            Ok(task) => (task.next_due_at, task.pause),
            Err(Error::NotFound { .. }) => (None, None),
            Err(error) => return Err(error),
        };
        Ok(pb::BackupPolicy {
            last_success_time: convert::time::stamp_of(good.map(|point| point.frozen_at)),
            next_due_time: convert::time::stamp_of(next),
            restore_point_count: count,
            pause: pause.as_ref().map(convert::pause),
            ..convert::backup_policy(&standing)
        })
    }

    pub(super) async fn answer_create_policy(
        &self,
        request: Request<pb::CreateBackupPolicyRequest>,
    ) -> Reply<pb::CreateBackupPolicyResponse> {
        let asked = Asked::new("CreateBackupPolicy", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let Some(given) = &body.policy else {
            return Err(Error::invalid("policy", "expected a policy").into());
        };
        let kind = convert::backup_kind_from(given.kind)
            .ok_or_else(|| Error::invalid("policy.kind", "expected FULL, EXPORT or ARCHIVE"));
        let (id, kind, reason, fields) = all((
            new_id(&body.policy_id, &given.name),
            kind,
            names::reason(body.reason.clone()),
            Fields::read(given, &policy_fields::needed(given)),
        ))?;
        let new = new_policy(id, kind, fields);
        let answer = |standing: &Standing| pb::CreateBackupPolicyResponse {
            policy: Some(convert::backup_policy(standing)),
        };
        let encode = |standing: &Standing| answer(standing).encode_to_vec();
        let make = |now: jiff::Timestamp| {
            Ok(Policy {
                created_at: now,
                updated_at: now,
                ..new
            })
        };
        let done = self
            .backups
            .create_policy(
                &*self.policy_tasks,
                &asked.who,
                make,
                &reason,
                body.validate_only,
                asked.remember(&encode),
            )
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) async fn answer_update_policy(
        &self,
        request: Request<pb::UpdateBackupPolicyRequest>,
    ) -> Reply<pb::UpdateBackupPolicyResponse> {
        let asked = Asked::new("UpdateBackupPolicy", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let Some(given) = &body.policy else {
            return Err(Error::invalid("policy", "expected a policy").into());
        };
        let fields = policy_fields::changed(given, body.update_mask.as_ref());
        let (id, reason, fields) = all((
            backup_names::policy("policy.name", &given.name),
            names::reason(body.reason.clone()),
            fields.and_then(|fields| Fields::read(given, &fields)),
        ))?;
        let answer = |standing: &Standing| pb::UpdateBackupPolicyResponse {
            policy: Some(convert::backup_policy(standing)),
        };
        let encode = |standing: &Standing| answer(standing).encode_to_vec();
        let change = |policy: &mut Policy| {
            fields.clone().lay(policy);
            let kind = convert::backup_kind_from(given.kind);
            if kind.is_some_and(|kind| kind != policy.kind) {
                let what = format!(
                    "the kind of a policy cannot be changed; expected {}, or make another policy",
                    policy.kind.as_str().to_uppercase()
                );
                return Err(Error::invalid("policy.kind", what));
            }
            Ok(())
        };
        let done = self
            .backups
            .update_policy(
                &*self.policy_tasks,
                &asked.who,
                &id,
                &change,
                &given.etag,
                &reason,
                body.validate_only,
                asked.remember(&encode),
            )
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) async fn answer_delete_policy(
        &self,
        request: Request<pb::DeleteBackupPolicyRequest>,
    ) -> Reply<pb::DeleteBackupPolicyResponse> {
        let asked = Asked::new("DeleteBackupPolicy", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let id = backup_names::policy("name", &asked.body.name)?;
        let answer = |(): &()| pb::DeleteBackupPolicyResponse {};
        let encode = |done: &()| answer(done).encode_to_vec();
        let done = self
            .backups
            .delete_policy(
                &*self.policy_tasks,
                &asked.who,
                &id,
                &asked.body.etag,
                asked.remember(&encode),
            )
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) fn answer_list_sources(
        &self,
        request: pb::ListBackupSourcesRequest,
    ) -> Reply<pb::ListBackupSourcesResponse> {
        let size = page::default_size(request.page_size)?;
        let scope = page::scope(&["ListBackupSources"]);
        let after = page::key(&scope, &request.page_token)?;
        let all = self.backups.source_names();
        let begin = match &after {
            None => 0,
            Some(key) => page::read::<usize>(key)?,
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let shown = all.iter().skip(begin).take(size);
        let sources = shown.map(|name| pb::BackupSource {
            name: name.clone(),
            r#type: self.backups.source_type(name).to_owned(),
            configured: !OWN_SOURCES.contains(&name.as_str()),
        });
        let sources: Vec<_> = sources.collect();
        let end = begin.saturating_add(sources.len());
        let token = (end < all.len()).then(|| page::token(&scope, &end.to_string()));
        Ok(Response::new(pb::ListBackupSourcesResponse {
            sources,
            next_page_token: token.unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_run_backup(
        &self,
        request: Request<pb::RunBackupRequest>,
    ) -> Reply<pb::RunBackupResponse> {
        let asked = Asked::new("RunBackup", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let (id, reason) = all((
            backup_names::policy("name", &body.name),
            names::reason(body.reason.clone()),
        ))?;
        let policy = self.backups.store().policy(&id).await?;
        let task = policy.task()?;
        self.backups.refuse_to_run(&policy)?;
        let order = TriggerOrder {
            ignore_pause: body.ignore_pause,
            reason,
            ..TriggerOrder::default()
        };
        let answer = |run: &Run| pb::RunBackupResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let done = self
            .engine
            .trigger(&asked.who, &task, order, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }
}

/// A policy as it was sent, but for what is not the caller's.
fn new_policy(id: PolicyId, kind: PolicyKind, fields: Fields) -> Policy {
    let mut policy = Policy {
        id,
        kind,
        description: String::new(),
        schedule: ScheduleSpec::default(),
        sources: default_sources(kind),
        retention: Retention::default(),
        enabled: true,
        priority: default_priority(kind),
        shipped: false,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        principal: String::new(),
        version: 1,
    };
    fields.lay(&mut policy);
    policy
}

fn new_id(id: &str, name: &str) -> Result<PolicyId> {
    if !name.is_empty() && name != format!("backupPolicies/{id}") {
        let what = format!("it differs from policy.name {name:?}");
        return Err(Error::invalid("policy_id", what));
    }
    backup_names::policy_id("policy_id", id)
}
