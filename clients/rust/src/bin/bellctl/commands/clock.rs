//! `bellctl clock`: of the clock that the servers go by.

use watchbell_client::pb::AcceptClockRequest;

use crate::{
    args::{ClockCommand, Format},
    exit::Exit,
    failure::Failure,
    session::Session,
    text::plain,
};

/// Does what was asked for.
pub(super) async fn run(session: &Session, command: &ClockCommand) -> Result<Exit, Failure> {
    let ClockCommand::Accept { reason } = command;
    let request = AcceptClockRequest {
        reason: reason.clone(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.scheduler().accept_clock(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        let hold = response.hold.unwrap_or_default();
        let told = format!("going on; held back was: {}", plain(&hold.message));
        session.output.line(&told)?;
    }
    Ok(Exit::Good)
}
