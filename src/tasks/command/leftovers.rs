//! What a command has left: processes that it started and that live on once it has ended.

use std::{pin::Pin, time::Duration};

use crate::{
    config::{CommandConfig, Leftovers},
    domain::span,
    engine::{RunContext, Stop},
    process::{Launched, Living, Report, Wish},
};

/// What a launcher gets to answer, once it was asked for something that takes 5 s at the most.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What has become of what was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There is nothing.
    None,
    /// It goes on, and needs no word.
    Left,
    GoesOn(Living),
    Ended(Living),
    /// They were killed, and are still there.
    Stuck(Living),
    /// The launcher gave no answer, so that nobody knows.
    Unknown,
}

impl Fate {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::None | Self::Left => 0,
            Self::GoesOn(living) | Self::Ended(living) | Self::Stuck(living) => living.count,
            Self::Unknown => 1,
        }
    }

    pub(super) fn told(&self) -> Option<String> {
        match self {
            Self::None | Self::Left => None,
            Self::GoesOn(living) => Some(format!("processes that it left go on: {living}")),
            Self::Ended(living) => Some(format!("processes that it left were ended: {living}")),
            Self::Stuck(living) => Some(format!(
                "processes that it left were killed and are still there: {living}"
            )),
            Self::Unknown => Some("what became of processes that it left is not known".to_owned()),
        }
    }
}

/// The end of the grace, once the run is asked to stop.
pub(super) type Over = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Deals with what lives once the command has ended by itself.
pub(super) async fn settle(
    config: &CommandConfig,
    context: &RunContext,
    launched: &mut Launched,
    over: &mut Over,
    living: Living,
) -> Fate {
    match config.leftovers {
        Leftovers::Leave => match leave(launched).await {
            Fate::GoesOn(_) => Fate::Left,
            fate => fate,
        },
        Leftovers::Kill => {
            context.log(format!("killing what the command has left: {living}"));
            launched.wish(Wish::Kill).await;
            until_alone(launched).await.unwrap_or(Fate::Ended(living))
        }
        Leftovers::Wait => wait(config, context, launched, over, living).await,
    }
}

async fn wait(
    config: &CommandConfig,
    context: &RunContext,
    launched: &mut Launched,
    over: &mut Over,
    living: Living,
) -> Fate {
    let mut told = false;
    let enough = context.clock.sleep_for(config.leftovers_for);
    tokio::pin!(enough);
    // Most are gone in a moment, and worth no line.
    let soon = tokio::time::sleep(Duration::from_millis(250));
    tokio::pin!(soon);
    loop {
        tokio::select! {
            biased;
            report = launched.report() => match report {
                Ok(Some(Report::Alone)) => return Fate::None,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Fate::Unknown,
            },
            () = context.cancel.cancelled() => break,
            () = &mut enough => break,
            () = &mut soon, if !told => {
                told = true;
                context.log(format!(
                    "the command has ended; waiting up to {} for what it has left: {living}",
                    span::format(config.leftovers_for)
                ));
            }
        }
    }
    if matches!(context.asked(), Some(Stop::Cancel | Stop::LeaseLost)) {
        context.log(format!(
            "asked to stop: ending what the command has left: {living}"
        ));
        return match end(launched, over).await {
            Fate::None => Fate::Ended(living),
            fate => fate,
        };
    }
    let fate = leave(launched).await;
    if let Fate::GoesOn(left) = &fate {
        context.log(format!(
            "no longer waiting; what the command has left goes on: {left}"
        ));
    }
    fate
}

/// Ends what lives: by SIGTERM, and by SIGKILL once the grace is over.
async fn end(launched: &mut Launched, over: &mut Over) -> Fate {
    launched.wish(Wish::Terminate).await;
    let gone = tokio::select! {
        biased;
        fate = alone(launched) => Some(fate),
        () = over => None,
    };
    match gone {
        Some(fate) => fate,
        None => {
            launched.wish(Wish::Kill).await;
            until_alone(launched).await.unwrap_or(Fate::None)
        }
    }
}

/// Waits until nothing lives any more, as long as that takes.
pub(super) async fn alone(launched: &mut Launched) -> Fate {
    loop {
        match launched.report().await {
            Ok(Some(Report::Alone)) => return Fate::None,
            Ok(Some(Report::Stuck { living })) => return Fate::Stuck(living),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Fate::Unknown,
        }
    }
}

/// The same once all was killed; none where nothing is left.
pub(super) async fn until_alone(launched: &mut Launched) -> Option<Fate> {
    match tokio::time::timeout(ANSWER_WITHIN, alone(launched)).await {
        Ok(Fate::None) => None,
        Ok(fate) => Some(fate),
        Err(_) => Some(Fate::Unknown),
    }
}

/// Asks the launcher to let go of what lives.
async fn leave(launched: &mut Launched) -> Fate {
    launched.wish(Wish::Leave).await;
    let left = async {
        loop {
            match launched.report().await {
                Ok(Some(Report::Left { living })) if living.is_empty() => return Fate::None,
                Ok(Some(Report::Left { living })) => return Fate::GoesOn(living),
                Ok(Some(Report::Alone)) => return Fate::None,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Fate::Unknown,
            }
        }
    };
    let left = tokio::time::timeout(ANSWER_WITHIN, left).await;
    left.unwrap_or(Fate::Unknown)
}
