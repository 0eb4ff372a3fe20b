//! `bellctl backup restore`: shows the plan, asks, and has it done.

use std::io::{self, BufRead as _, IsTerminal as _};

use watchbell_client::{
    call::request_id,
    pb::{ExecuteRestoreRequest, PlanRestoreRequest, PlanRestoreResponse},
};

use crate::{
    args::{Format, RestoreArgs},
    commands::{
        backup::{begun, resolved},
        backup_show::bytes,
    },
    exit::Exit,
    failure::Failure,
    output::{Tint, remark},
    session::Session,
    table::{Field, Table},
    time::show_length,
};

pub(super) async fn restore(session: &Session, args: &RestoreArgs) -> Result<Exit, Failure> {
    let request = PlanRestoreRequest {
        restore_point: resolved(session, &args.point).await?,
        directory: args.to.clone(),
        paths: args.path.clone(),
        new_database: args.new_database.clone(),
    };
    let plan = session
        .ask(request, async |request| {
            session.client.backups().plan_restore(request).await
        })
        .await?;
    let json = session.output.format == Format::Json;
    if !json {
        session.output.table(shown(session, &plan))?;
    } else if args.plan_only {
        session.output.json(&plan)?;
    }
    if !plan.conflicts.is_empty() {
        if json && !args.plan_only {
            session.output.json(&plan)?;
        }
        return Ok(Exit::Refused);
    }
    if args.plan_only {
        return Ok(Exit::Good);
    }
    if !args.yes && !agreed()? {
        remark("nothing was restored");
        return Ok(Exit::Interrupted);
    }
    let request = ExecuteRestoreRequest {
        token: plan.token,
        reason: args.wait.reason.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().execute_restore(request).await
        })
        .await?;
    begun(session, &response.run.unwrap_or_default(), args.wait.wait).await
}

fn shown(session: &Session, plan: &PlanRestoreResponse) -> Table {
    let mut list = Table::list();
    let point = plan.restore_point.clone().unwrap_or_default();
    list.entry("restore point", &point.name);
    list.entry("as of", session.clock.show(point.freeze_time.as_ref()));
    list.entry("into", &plan.directory);
    list.entry(
        "files",
        format!("{}, {}", plan.file_count, bytes(plan.byte_count)),
    );
    list.entry("free there", bytes(plan.free_bytes));
    list.entry("takes about", show_length(plan.estimated_duration.as_ref()));
    for warning in &plan.warnings {
        list.entry("mind", Field::tinted(warning, Tint::Warning));
    }
    for conflict in &plan.conflicts {
        list.entry("cannot", Field::tinted(conflict, Tint::Bad));
    }
    list
}

/// Whether the one at the terminal agrees.
fn agreed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(
            "there is nobody to ask: give --yes to restore, or --plan-only to look".to_owned(),
        ));
    }
    remark("restore it? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
