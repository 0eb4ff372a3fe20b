//! `bellctl backup plan-retention`, `apply-retention` and `remove`.

use watchbell_client::{
    call::request_id,
    pb::{ApplyRetentionRequest, PlanRetentionRequest, RemoveRestorePointRequest},
};

use crate::{
    args::{ApplyRetentionArgs, Format, PlanRetentionArgs, RemovePointArgs},
    commands::{
        backup::{begun, resolved},
        backup_policy::retention,
    },
    exit::Exit,
    failure::Failure,
    name::short,
    output::{Tint, remark},
    session::Session,
    table::{Field, Table},
};

pub(super) async fn plan(session: &Session, args: &PlanRetentionArgs) -> Result<Exit, Failure> {
    let request = PlanRetentionRequest {
        policy: args
            .policy
            .as_ref()
            .map_or_else(String::new, |policy| policy.resource()),
        retention: retention(&args.keep),
    };
    let plan = session
        .ask(request, async |request| {
            session.client.backups().plan_retention(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&plan)?;
        return Ok(Exit::Good);
    }
    if !plan.decisions.is_empty() {
        let mut table = Table::new(&["POINT", "POLICY", "AS OF", "STAYS", "WHY"]);
        for decision in &plan.decisions {
            let stays = match decision.keep {
                true => Field::tinted("yes", Tint::Good),
                false => Field::tinted("no", Tint::Warning),
            };
            let id: String = short(&decision.restore_point).chars().take(13).collect();
            table.row([
                id.into(),
                short(&decision.policy).into(),
                session.clock.show(decision.freeze_time.as_ref()).into(),
                stays,
                decision.reasons.join("; ").into(),
            ]);
        }
        session.output.table(table)?;
        session.output.line("")?;
    }
    session.output.line(&format!(
        "{} stay, {} go",
        plan.keep_count, plan.remove_count
    ))?;
    if !plan.frozen_message.is_empty() {
        remark(&format!(
            "nothing is removed at present: {}",
            plan.frozen_message
        ));
    }
    if plan.needs_confirmation {
        remark(
            "that is over 30 %: `bellctl backup apply-retention --confirm` does it, and the schedule does not",
        );
    }
    Ok(Exit::Good)
}

pub(super) async fn apply(session: &Session, args: &ApplyRetentionArgs) -> Result<Exit, Failure> {
    let request = ApplyRetentionRequest {
        confirm: args.confirm,
        reason: args.wait.reason.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().apply_retention(request).await
        })
        .await?;
    begun(session, &response.run.unwrap_or_default(), args.wait.wait).await
}

pub(super) async fn remove(session: &Session, args: &RemovePointArgs) -> Result<Exit, Failure> {
    let request = RemoveRestorePointRequest {
        name: resolved(session, &args.point).await?,
        confirm: args.confirm,
        reason: args.reason.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().remove_restore_point(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        let point = response.restore_point.unwrap_or_default();
        let name = crate::text::plain(&point.name);
        session.output.line(&format!("removed {name}"))?;
    }
    Ok(Exit::Good)
}
