//! Launchers that hang or have died: what they have started is ended, and the place of a start kept until it is.

use anyhow::anyhow;

use super::{ENDS_WITHIN, notes::Noted};
use crate::{
    host::{self, Question, UnderWay},
    process::{Launched, Remains},
};

/// Ends a launcher that hangs in the start of its program, and holds the start's place until it is gone. What cannot be
/// ended yet is still noted, so that the run's next attempt ends it first.
pub(super) async fn give_up(
    launched: Launched,
    remains: Remains,
    noted: Noted,
    starting: UnderWay,
) {
    if let Some(left) = end(remains, noted).await {
        tracing::warn!("a program whose start hangs{left}");
    }
    launched.ended().await;
    drop(starting);
}

/// Ends what a launcher leaves that has died itself; the error to tell.
pub(super) async fn died(remains: Remains, noted: Noted) -> anyhow::Error {
    let ended = end(remains, noted).await.unwrap_or_default();
    anyhow!("the launcher of the command was ended by someone else{ended}")
}

/// Ends all that a launcher has started, and itself; the end of a sentence where there was something.
async fn end(remains: Remains, noted: Noted) -> Option<String> {
    let question = Question::of(
        format!("process {}", remains.launcher.id),
        "ending what it had started",
    );
    let end = move || {
        let ended = remains.end();
        if ended.is_ok() {
            noted.remove();
        }
        ended
    };
    match host::ask(question.within(ENDS_WITHIN), end).await {
        Ok(Ok(true)) => Some("; what it had started was ended".to_owned()),
        Ok(Ok(false)) => None,
        Ok(Err(error)) => Some(format!("; {error:#}")),
        Err(error) => Some(format!("; {error}")),
    }
}
