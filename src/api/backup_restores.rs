//! What `BackupService` does with restores: plans them, and has them done.

use prost::Message as _;
use tonic::{Request, Response};

use super::{Api, Reply, backup_names, convert, convert::time, names, request::Asked};
use crate::{
    backup::{RESTORE_TASK, RestoreWish},
    domain::{Run, TaskName},
    engine::TriggerOrder,
    error::{Error, all},
    pb,
};

impl Api {
    pub(super) async fn answer_plan_restore(
        &self,
        request: Request<pb::PlanRestoreRequest>,
    ) -> Reply<pb::PlanRestoreResponse> {
        let who = super::caller(&request)?;
        let body = request.into_inner();
        let name = backup_names::point("restore_point", &body.restore_point);
        let wish = RestoreWish {
            directory: body.directory,
            paths: body.paths,
            new_database: body.new_database,
        };
        let (name, ()) = all((name, self.backups.check_wish(&wish)))?;
        let point = self.point_named(name).await?;
        let planned = self.backups.plan_restore(&who, point, wish).await?;
        Ok(Response::new(pb::PlanRestoreResponse {
            token: planned.token.unwrap_or_default(),
            expire_time: Some(time::stamp(planned.expires_at)),
            restore_point: Some(convert::restore_point(&planned.point)),
            directory: planned.directory,
            file_count: planned.files,
            byte_count: planned.bytes,
            free_bytes: planned.free_bytes,
            estimated_duration: planned.estimate.map(time::span),
            conflicts: planned.conflicts,
            warnings: planned.warnings,
        }))
    }

    pub(super) async fn answer_execute_restore(
        &self,
        request: Request<pb::ExecuteRestoreRequest>,
    ) -> Reply<pb::ExecuteRestoreResponse> {
        let asked = Asked::new("ExecuteRestore", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let parameters = match body.token.is_empty() {
            true => Err(Error::invalid("token", "expected the token of PlanRestore")),
            false => self.backups.restore_order(&body.token).await,
        };
        let (parameters, reason) = all((parameters, names::reason(body.reason.clone())))?;
        let order = TriggerOrder {
            parameters,
            reason,
            ..TriggerOrder::default()
        };
        let answer = |run: &Run| pb::ExecuteRestoreResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let task: TaskName = RESTORE_TASK.parse()?;
        let done = self
            .engine
            .trigger(&asked.who, &task, order, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }
}
