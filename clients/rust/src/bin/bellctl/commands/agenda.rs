//! `bellctl agenda`: what fires in the coming hours.

use std::time::Duration;

use jiff::SignedDuration;
use watchbell_client::pb::{AgendaEntry, GetAgendaRequest};

use crate::{
    args::{AgendaArgs, Format},
    commands::pause::warn_of_all,
    exit::Exit,
    failure::Failure,
    name::short,
    output::Tint,
    session::{Session, pages, tell_more, tell_none},
    table::{Field, Table},
    time::{Moment, to_proto},
};

/// Shows what fires in the coming hours, a page or all of it.
pub(super) async fn list(session: &Session, args: &AgendaArgs) -> Result<Exit, Failure> {
    let length = Duration::from_secs(u64::from(args.hours) * 3_600);
    let end = SignedDuration::try_from(length).map(Moment::FromNow).ok();
    let request = GetAgendaRequest {
        // Both ends are told, so that they fit whatever the server's clock says meanwhile.
        after_time: Some(to_proto(session.clock.now)),
        until_time: session.instant(end.as_ref(), None)?,
        page_size: args.page.bite(),
        page_token: String::new(),
    };
    let first = args.page.page_token.clone();
    let (entries, next) = pages(args.page.all, first, async |page_token| {
        let request = GetAgendaRequest {
            page_token,
            ..request.clone()
        };
        let response = session
            .ask(request, async |request| {
                session.client.scheduler().get_agenda(request).await
            })
            .await?;
        Ok((response.entries, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("entries", &entries, &next)?;
    } else if entries.is_empty() {
        let hours = args.hours;
        let what = format!("nothing fires in the next {hours} h");
        tell_none(session, &what, &next)?;
    } else {
        let all = session.pause_of_all().await?;
        warn_of_all(session, all.as_ref())?;
        session.output.table(table(session, &entries))?;
        tell_more(&next);
    }
    Ok(Exit::Good)
}

fn table(session: &Session, entries: &[AgendaEntry]) -> Table {
    let mut table = Table::new(&["DUE", "TASK", "NOMINAL TIME", "NOTES"]);
    for entry in entries {
        let fire = entry.fire.clone().unwrap_or_default();
        let mut notes = fire.reasons;
        if entry.paused && !notes.iter().any(|note| note.contains("pause")) {
            notes.insert(0, "paused".to_owned());
        }
        let tint = if entry.paused {
            Tint::Faint
        } else {
            Tint::Plain
        };
        table.row([
            Field::tinted(&session.clock.show(fire.due_time.as_ref()), tint),
            Field::tinted(short(&entry.task), tint),
            Field::tinted(&fire.local_time, tint),
            Field::tinted(&notes.join("; "), tint),
        ]);
    }
    table
}
