//! `bellctl backup evidence`.

use watchbell_client::pb::{
    BackupEvidence, ListBackupEvidenceRequest, VerificationLevel, VerificationResult,
};

use crate::{
    args::{EvidenceArgs, Format},
    commands::backup::resolved,
    exit::Exit,
    failure::Failure,
    label::label_of,
    name::short_run,
    output::Tint,
    session::{Session, pages, tell_more, tell_none},
    table::{Field, Table},
    time::{Clock, show_length},
};

pub(super) async fn evidence(session: &Session, args: &EvidenceArgs) -> Result<Exit, Failure> {
    let point = match &args.point {
        Some(point) => resolved(session, point).await?,
        None => String::new(),
    };
    let first = args.page.page_token.clone();
    let (evidence, next) = pages(args.page.all, first, async |page_token| {
        let request = ListBackupEvidenceRequest {
            page_size: args.page.bite(),
            page_token,
            restore_point: point.clone(),
        };
        let response = session
            .ask(request, async |request| {
                session.client.backups().list_backup_evidence(request).await
            })
            .await?;
        Ok((response.evidence, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("evidence", &evidence, &next)?;
        return Ok(Exit::Good);
    }
    if evidence.is_empty() {
        tell_none(session, "nothing was verified yet", &next)?;
    } else {
        session
            .output
            .table(evidence_table(&session.clock, &evidence))?;
        tell_more(&next);
    }
    Ok(Exit::Good)
}

pub(super) fn evidence_table(clock: &Clock, evidence: &[BackupEvidence]) -> Table {
    let mut table = Table::new(&["VERIFIED", "LEVEL", "RESULT", "TOOK", "RUN", "MESSAGE"]);
    for one in evidence {
        let tint = match one.result() {
            VerificationResult::Passed => Tint::Good,
            VerificationResult::Failed => Tint::Bad,
            VerificationResult::NotPossible | VerificationResult::Unspecified => Tint::Warning,
        };
        table.row([
            clock.show(one.time.as_ref()).into(),
            label_of::<VerificationLevel>(one.level).into(),
            Field::tinted(label_of::<VerificationResult>(one.result), tint),
            show_length(one.duration.as_ref()).into(),
            short_run(&one.run).into(),
            (&one.message).into(),
        ]);
    }
    table
}
