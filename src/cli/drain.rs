//! `watchbell drain`: waits until nothing runs on the server of this host, which takes no runs meanwhile.

use std::{io, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use watchbell::{
    api::{LocalDrain, LocalServer},
    clock::Stopwatch,
    config::Config,
    domain::span,
};

use super::{DrainArgs, Failed, commands};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the drain holds beyond the wait: so that the server can be stopped before it takes runs again.
const HOLDS_AFTER: Duration = Duration::from_secs(15 * 60);
/// The longest drain that a server grants.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Answers that may fail in a row: a database that is busy costs none of the wait.
const FAILURES_MAX: u32 = 10;
/// How often it is tried to end the drain.
const ENDS_TRIED: u32 = 3;

/// The span of `--at-most`.
///
/// # Errors
/// A sentence that says what was expected.
pub(super) fn at_most(text: &str) -> Result<Duration, String> {
    let given = span::parse(text)?;
    if LONGEST < given {
        let longest = span::format(LONGEST);
        return Err(format!("expected at most {longest}, the longest drain"));
    }
    Ok(given)
}

pub(super) fn drain(args: &DrainArgs) -> Result<(), Failed> {
    let config = Config::load(&args.common.flags()).map_err(Failed::Configuration)?;
    commands::runtime()?.block_on(async {
        let token = config.data.join("token");
        let mut server = LocalServer::connect(config.listen, &token).await?;
        if args.end {
            let left = server.end_drain().await?;
            let running = left.running;
            return commands::say(&format!("runs are taken again; {running} are under way\n"));
        }
        // Which server it is, is known before anything is asked of it that may have to be taken back.
        let own = server.drain_state().await?.replica;
        let mut signals = Signals::hear().context("signals cannot be heard")?;
        let waited = tokio::select! {
            waited = until_idle(&mut server, &own, args) => waited,
            () = signals.any() => Ok(Waited::Interrupted),
        };
        match waited {
            Ok(Waited::Idle) => commands::say(&format!(
                "nothing runs, and no run is taken for {}: stop the server now\n",
                span::format(HOLDS_AFTER)
            )),
            Ok(Waited::Busy(left)) => {
                for name in &left.names {
                    commands::remark(&format!("still under way: {}", name.escape_debug()));
                }
                let after = span::format(args.at_most);
                commands::remark(&format!(
                    "after {after} there are still {} runs",
                    left.running
                ));
                leave(&mut server, &own, args).await;
                Err(Failed::StillRunning)
            }
            Ok(Waited::Interrupted) => {
                leave(&mut server, &own, args).await;
                Err(Failed::Interrupted)
            }
            Err(error) => {
                leave(&mut server, &own, args).await;
                Err(error.into())
            }
        }
    })
}

/// What ends the wait: a key, a `kill`, a connection that is lost.
struct Signals {
    interrupted: Signal,
    terminated: Signal,
    hung_up: Signal,
}

impl Signals {
    fn hear() -> io::Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
            hung_up: signal(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
            _ = self.hung_up.recv() => {}
        }
    }
}

/// Lets the server that was drained take runs again, unless the drain is to stay; says what has become of it.
async fn leave(server: &mut LocalServer, own: &str, args: &DrainArgs) {
    if args.stay {
        commands::remark("the drain stays until its time; `watchbell drain --end` ends it");
        return;
    }
    let mut last = None;
    for tried in 0..ENDS_TRIED {
        if 0 < tried {
            sleep(LOOK_EVERY).await;
        }
        match end(server, own).await {
            Ok(true) => {
                commands::remark("the drain was ended: runs are taken again");
                return;
            }
            Ok(false) => {
                commands::remark("the server that was drained is gone, and its drain with it");
                return;
            }
            Err(error) => last = Some(error),
        }
    }
    let why = last.map_or_else(String::new, |error| format!(" ({error:#})"));
    commands::remark(&format!(
        "the drain could not be ended{why}: it may hold for up to {}; `watchbell drain --end` ends it",
        span::format(held(args.at_most))
    ));
}

/// Ends the drain of the server that was drained; whether that one still answers.
async fn end(server: &mut LocalServer, own: &str) -> anyhow::Result<bool> {
    if server.drain_state().await?.replica != own {
        return Ok(false);
    }
    server.end_drain().await?;
    Ok(true)
}

/// How long a drain is asked for where the wait may take so long.
fn held(wait: Duration) -> Duration {
    wait.saturating_add(HOLDS_AFTER).min(LONGEST)
}

/// How the wait ended.
enum Waited {
    Idle,
    Busy(LocalDrain),
    Interrupted,
}

/// Whether nothing runs any more on the server that was drained, and that still holds.
///
/// # Errors
/// Where it is another server, or it takes runs again.
fn is_idle(own: &str, now: &LocalDrain) -> anyhow::Result<bool> {
    if now.replica != own {
        bail!(
            "another server answers than the one that was drained: it was restarted, or --listen names a proxy"
        );
    }
    if !now.drained {
        bail!("somebody else has ended the drain: runs are taken again");
    }
    Ok(now.running == 0)
}

async fn until_idle(
    server: &mut LocalServer,
    own: &str,
    args: &DrainArgs,
) -> anyhow::Result<Waited> {
    // The drain is to outlast the wait.
    let wait = args.at_most.min(LONGEST.saturating_sub(HOLDS_AFTER));
    let watch = Stopwatch::start();
    let mut now = server.drain(held(wait), &args.reason).await?;
    let mut failures = 0;
    let mut told = -1;
    loop {
        let left = wait.saturating_sub(watch.elapsed());
        if is_idle(own, &now)? {
            // Anew: the wait has used up its part of the time. What the answer says counts: between the look and this
            // call the server may have been started anew, or somebody may have ended the drain.
            now = server.drain(HOLDS_AFTER, &args.reason).await?;
            let idle = is_idle(own, &now);
            if idle.is_err() {
                // This one was drained by mistake.
                server.end_drain().await?;
            }
            if idle? {
                return Ok(Waited::Idle);
            }
            if !left.is_zero() {
                now = server.drain(held(left), &args.reason).await?;
                continue;
            }
        }
        if left.is_zero() {
            return Ok(Waited::Busy(now));
        }
        if told != now.running {
            told = now.running;
            commands::remark(&format!("{told} runs are under way"));
        }
        sleep(LOOK_EVERY.min(left)).await;
        match server.drain_state().await {
            Ok(state) => {
                failures = 0;
                now = state;
            }
            Err(error) if FAILURES_MAX <= failures => {
                return Err(error.context("it is not known whether runs are still under way"));
            }
            Err(_) => failures += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(replica: &str, drained: bool, running: i32) -> LocalDrain {
        LocalDrain {
            replica: replica.to_owned(),
            drained,
            running,
            names: Vec::new(),
        }
    }

    #[test]
    fn nothing_runs_only_where_the_server_that_was_drained_says_so() {
        assert!(is_idle("a", &state("a", true, 0)).unwrap());
        assert!(!is_idle("a", &state("a", true, 1)).unwrap());
        for (other, says) in [
            (state("b", true, 0), "another server"),
            (state("a", false, 0), "somebody else has ended"),
        ] {
            let why = is_idle("a", &other).unwrap_err().to_string();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn no_wait_asks_for_a_longer_drain_than_there_is() {
        assert_eq!(at_most("7d").unwrap(), LONGEST);
        assert_eq!(held(LONGEST), LONGEST);
        assert!(at_most("8d").unwrap_err().contains("at most 7d"));
    }
}
