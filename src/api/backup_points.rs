//! What `BackupService` does with restore points: shows, pins, verifies, and plans which go.

use jiff::Timestamp;
use prost::Message as _;
use serde_json::{Map, json};
use tonic::{Request, Response};
use uuid::Uuid;

use super::{
    Api, Reply,
    backup_names::{self, PointName},
    convert, names, page,
    request::Asked,
};
use crate::{
    backup::{CLEANUP_TASK, VERIFY_TASK},
    domain::{
        Run, TaskName,
        backup::{Level, PolicyKind, point::RestorePoint},
    },
    engine::TriggerOrder,
    error::{Error, Result, Thing, all},
    pb,
    store::{Page, PageOf, PointFilter, PointPlace},
};

/// Evidence that a point is shown with.
const EVIDENCE_SHOWN: u64 = 20;

impl Api {
    pub(super) async fn answer_list_points(
        &self,
        request: pb::ListRestorePointsRequest,
    ) -> Reply<pb::ListRestorePointsResponse> {
        let size = page::default_size(request.page_size)?;
        let policy = match request.policy.as_str() {
            "" => None,
            name => Some(backup_names::policy("policy", name)?.to_string()),
        };
        let scope = page::scope(&[
            "ListRestorePoints",
            &request.policy,
            &request.show_removed.to_string(),
        ]);
        let after = match page::key(&scope, &request.page_token)? {
            Some(key) => {
                let (frozen_at, id) = read_place(&key)?;
                Some(PointPlace { frozen_at, id })
            }
            None => None,
        };
        let filter = PointFilter {
            policy,
            removed: request.show_removed,
        };
        let store = self.backups.store();
        let PageOf { items, next } = store.points(&filter, Page { size, after }).await?;
        let mut points: Vec<_> = items.iter().map(convert::restore_point_basic).collect();
        let kept = page::fit(&points);
        let next = match items.get(kept.saturating_sub(1)) {
            Some(last) if kept < points.len() => Some((last.frozen_at, last.id)),
            _ => next.map(|place| (place.frozen_at, place.id)),
        };
        points.truncate(kept);
        let token = next.map(|place| page::token(&scope, &write_place(place)));
        Ok(Response::new(pb::ListRestorePointsResponse {
            restore_points: points,
            next_page_token: token.unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_get_point(
        &self,
        request: pb::GetRestorePointRequest,
    ) -> Reply<pb::GetRestorePointResponse> {
        let point = self
            .point_named(backup_names::point("name", &request.name)?)
            .await?;
        let page = Page {
            size: EVIDENCE_SHOWN,
            after: None,
        };
        let evidence = self.backups.store().evidence(Some(point.id), page).await?;
        Ok(Response::new(pb::GetRestorePointResponse {
            restore_point: Some(convert::restore_point(&point)),
            evidence: evidence
                .items
                .iter()
                .map(convert::backup_evidence)
                .collect(),
        }))
    }

    /// # Errors
    /// [`Error::NotFound`]; for `latest`, where there is no good point.
    pub(super) async fn point_named(&self, name: PointName) -> Result<RestorePoint> {
        let store = self.backups.store();
        match name {
            PointName::Id(id) => store.point(id).await,
            PointName::Latest => {
                let newest = store.point_newest_good(PolicyKind::Full, None).await?;
                newest.ok_or_else(|| Error::not_found(Thing::GoodRestorePoint, "latest"))
            }
        }
    }

    pub(super) async fn answer_pin_point(
        &self,
        request: Request<pb::PinRestorePointRequest>,
    ) -> Reply<pb::PinRestorePointResponse> {
        let asked = Asked::new("PinRestorePoint", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let reason = match body.pinned {
            true => names::reason_for(body.reason.clone(), "to be kept"),
            false => names::reason(body.reason.clone()),
        };
        let (id, reason) = all((backup_names::point_id("name", &body.name), reason))?;
        let answer = |point: &RestorePoint| pb::PinRestorePointResponse {
            restore_point: Some(convert::restore_point(point)),
        };
        let encode = |point: &RestorePoint| answer(point).encode_to_vec();
        let reason = body.pinned.then_some(reason.as_str());
        let done = self
            .backups
            .pin(&asked.who, id, reason, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) async fn answer_remove_point(
        &self,
        request: Request<pb::RemoveRestorePointRequest>,
    ) -> Reply<pb::RemoveRestorePointResponse> {
        let asked = Asked::new("RemoveRestorePoint", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let (id, reason) = all((
            backup_names::point_id("name", &body.name),
            names::reason_for(body.reason.clone(), "to be removed"),
        ))?;
        let answer = |point: &RestorePoint| pb::RemoveRestorePointResponse {
            restore_point: Some(convert::restore_point(point)),
        };
        let encode = |point: &RestorePoint| answer(point).encode_to_vec();
        let (who, remember) = (&asked.who, asked.remember(&encode));
        let done = self
            .backups
            .remove_point(who, id, body.confirm, &reason, remember)
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) async fn answer_accept_point(
        &self,
        request: Request<pb::AcceptRestorePointRequest>,
    ) -> Reply<pb::AcceptRestorePointResponse> {
        let asked = Asked::new("AcceptRestorePoint", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let (id, reason) = all((
            backup_names::point_id("name", &body.name),
            names::reason_for(body.reason.clone(), "as it should be"),
        ))?;
        let point = self.backups.store().point(id).await?;
        self.backups.expect_losses(&point)?;
        let answer = |run: &Run| pb::AcceptRestorePointResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let order = TriggerOrder {
            parameters: Map::from_iter([
                ("point".to_owned(), json!(id)),
                ("accept".to_owned(), json!(true)),
            ]),
            reason,
            ..TriggerOrder::default()
        };
        let task: TaskName = VERIFY_TASK.parse()?;
        let done = self
            .engine
            .trigger(&asked.who, &task, order, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) async fn answer_verify_point(
        &self,
        request: Request<pb::VerifyRestorePointRequest>,
    ) -> Reply<pb::VerifyRestorePointResponse> {
        let asked = Asked::new("VerifyRestorePoint", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let (name, levels, reason) = all((
            backup_names::point("name", &body.name),
            levels(body.level),
            names::reason(body.reason.clone()),
        ))?;
        let point = self.point_named(name).await?;
        if point.kind == PolicyKind::Export {
            let what = format!(
                "{} is an export; `watchbell export verify` tests its file",
                point.resource_name()
            );
            return Err(Error::invalid("name", what).into());
        }
        point.expect_there()?;
        let levels: Vec<&str> = levels.into_iter().map(Level::as_str).collect();
        let parameters = Map::from_iter([
            ("point".to_owned(), json!(point.id)),
            ("levels".to_owned(), json!(levels)),
        ]);
        let answer = |run: &Run| pb::VerifyRestorePointResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let order = TriggerOrder {
            parameters,
            reason,
            ..TriggerOrder::default()
        };
        let task: TaskName = VERIFY_TASK.parse()?;
        let done = self
            .engine
            .trigger(&asked.who, &task, order, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) async fn answer_list_evidence(
        &self,
        request: pb::ListBackupEvidenceRequest,
    ) -> Reply<pb::ListBackupEvidenceResponse> {
        let size = page::default_size(request.page_size)?;
        let point = match request.restore_point.as_str() {
            "" => None,
            name => Some(backup_names::point_id("restore_point", name)?),
        };
        let scope = page::scope(&["ListBackupEvidence", &request.restore_point]);
        let after = match page::key(&scope, &request.page_token)? {
            Some(key) => Some(read_place(&key)?),
            None => None,
        };
        let PageOf { items, next } = self
            .backups
            .store()
            .evidence(point, Page { size, after })
            .await?;
        let mut evidence: Vec<_> = items.iter().map(convert::backup_evidence).collect();
        let kept = page::fit(&evidence);
        let next = match items.get(kept.saturating_sub(1)) {
            Some(last) if kept < evidence.len() => Some((last.at, last.id)),
            _ => next,
        };
        evidence.truncate(kept);
        let token = next.map(|place| page::token(&scope, &write_place(place)));
        Ok(Response::new(pb::ListBackupEvidenceResponse {
            evidence,
            next_page_token: token.unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_plan_retention(
        &self,
        request: pb::PlanRetentionRequest,
    ) -> Reply<pb::PlanRetentionResponse> {
        let policy = match request.policy.as_str() {
            "" => Ok(None),
            name => backup_names::policy("policy", name).map(Some),
        };
        let instead = match (&request.retention, &policy) {
            (None, _) => Ok(None),
            (Some(_), Ok(None)) => {
                let what = "expected none without a policy, as each has its own";
                Err(Error::invalid("retention", what))
            }
            (Some(retention), _) => convert::retention("retention", Some(retention)).map(Some),
        };
        let (policy, instead) = all((policy, instead))?;
        let plans = self
            .backups
            .plan_retention(policy.as_ref(), instead)
            .await?;
        Ok(Response::new(convert::retention_plans(&plans)))
    }

    pub(super) async fn answer_apply_retention(
        &self,
        request: Request<pb::ApplyRetentionRequest>,
    ) -> Reply<pb::ApplyRetentionResponse> {
        let asked = Asked::new("ApplyRetention", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let answer = |run: &Run| pb::ApplyRetentionResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let order = TriggerOrder {
            parameters: Map::from_iter([("confirm".to_owned(), json!(body.confirm))]),
            same_work: true,
            reason: names::reason(body.reason.clone())?,
            ..TriggerOrder::default()
        };
        if !body.confirm {
            let plans = self.backups.plan_retention(None, None).await?;
            if let Some(plan) = plans.iter().find(|plan| plan.needs_confirmation()) {
                return Err(plan.unconfirmed().into());
            }
        }
        let task: TaskName = CLEANUP_TASK.parse()?;
        let done = self
            .engine
            .trigger(&asked.who, &task, order, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }
}

fn levels(given: i32) -> Result<Vec<Level>> {
    match convert::level_from(given)? {
        None => Ok(vec![Level::Drill, Level::Database]),
        Some(level @ (Level::Read | Level::Drill | Level::Database)) => Ok(vec![level]),
        Some(Level::Structure | Level::Export) => {
            Err(Error::invalid("level", "expected READ, DRILL or DATABASE"))
        }
    }
}

fn write_place((at, id): (Timestamp, Uuid)) -> String {
    format!("{} {id}", at.as_microsecond())
}

fn read_place(key: &str) -> Result<(Timestamp, Uuid)> {
    let (at, id) = key.split_once(' ').ok_or_else(page::damaged)?;
    let at = Timestamp::from_microsecond(page::read(at)?).map_err(|_| page::damaged())?;
    Ok((at, page::read(id)?))
}
