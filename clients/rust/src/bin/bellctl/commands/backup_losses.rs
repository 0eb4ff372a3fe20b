//! Losses of a restore point's sources, and `bellctl backup accept`, which says that they are as they should be.

use watchbell_client::{
    call::request_id,
    pb::{AcceptRestorePointRequest, RestorePoint},
};

use crate::{
    args::PointName,
    commands::backup::{begun, resolved},
    exit::Exit,
    failure::Failure,
    session::Session,
    table::Table,
};

/// Accepts the losses of a restore point by a run, and follows that where it is wanted.
pub(super) async fn accept(
    session: &Session,
    point: &PointName,
    reason: &str,
    wait: bool,
) -> Result<Exit, Failure> {
    let request = AcceptRestorePointRequest {
        name: resolved(session, point).await?,
        reason: reason.to_owned(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().accept_restore_point(request).await
        })
        .await?;
    begun(session, &response.run.unwrap_or_default(), wait).await
}

/// Shows the losses of a restore point's sources, where there are any.
pub(super) fn show(session: &Session, point: &RestorePoint) -> Result<(), Failure> {
    if point.losses.is_empty() {
        return Ok(());
    }
    let mut losses = Table::new(&["SOURCE", "HAS LOST", "WHY"]);
    for loss in &point.losses {
        losses.row([
            (&loss.source).into(),
            (&loss.path).into(),
            (&loss.message).into(),
        ]);
    }
    session.output.line("")?;
    session.output.table(losses)
}

/// Tells who has accepted the losses of a restore point, and why.
pub(super) fn tell(list: &mut Table, point: &RestorePoint) {
    if let Some(accepted) = &point.acceptance {
        let told = format!("by {}: {}", accepted.principal, accepted.reason);
        list.entry("accepted", told);
    }
}
