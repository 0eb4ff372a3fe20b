//! `watchbell drain`: waits until nothing runs on the server of this host, which takes no runs meanwhile.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::{
    signal::unix::{SignalKind, signal},
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
/// Answers that may fail in a row: a database that is busy costs none of the wait.
const FAILURES_MAX: u32 = 10;

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
        let begun = server
            .drain(args.at_most.saturating_add(HOLDS_AFTER), &args.reason)
            .await?;
        let mut interrupted = signal(SignalKind::interrupt()).context("signals cannot be heard")?;
        let mut terminated = signal(SignalKind::terminate()).context("signals cannot be heard")?;
        let waited = tokio::select! {
            waited = until_idle(&mut server, &begun, args.at_most) => waited,
            _ = interrupted.recv() => Ok(Waited::Interrupted),
            _ = terminated.recv() => Ok(Waited::Interrupted),
        };
        match waited? {
            Waited::Idle => {
                // Anew: the wait has used up its part of the time.
                server.drain(HOLDS_AFTER, &args.reason).await?;
                commands::say(&format!(
                    "nothing runs, and no run is taken for {}: stop the server now\n",
                    span::format(HOLDS_AFTER)
                ))
            }
            Waited::Busy(left) => {
                for name in &left.names {
                    commands::remark(&format!("still under way: {}", name.escape_debug()));
                }
                let after = span::format(args.at_most);
                commands::remark(&format!(
                    "after {after} there are still {} runs",
                    left.running
                ));
                leave(&mut server, args).await?;
                Err(Failed::StillRunning)
            }
            Waited::Interrupted => {
                leave(&mut server, args).await?;
                Err(Failed::Interrupted)
            }
        }
    })
}

/// Lets the server take runs again, unless the drain is to stay.
async fn leave(server: &mut LocalServer, args: &DrainArgs) -> Result<(), Failed> {
    if args.stay {
        commands::remark("the drain stays until its time; `watchbell drain --end` ends it");
        return Ok(());
    }
    server.end_drain().await?;
    commands::remark("the drain was ended: runs are taken again");
    Ok(())
}

/// How the wait ended.
enum Waited {
    Idle,
    Busy(LocalDrain),
    Interrupted,
}

async fn until_idle(
    server: &mut LocalServer,
    begun: &LocalDrain,
    at_most: Duration,
) -> anyhow::Result<Waited> {
    let watch = Stopwatch::start();
    let mut now = begun.clone();
    let mut failures = 0;
    let mut told = -1;
    loop {
        if now.replica != begun.replica {
            return Err(anyhow!(
                "another server answers than the one that was drained: it was restarted, or --listen names a proxy"
            ));
        }
        if !now.drained {
            return Err(anyhow!(
                "somebody else has ended the drain: runs are taken again"
            ));
        }
        if now.running == 0 {
            return Ok(Waited::Idle);
        }
        if at_most <= watch.elapsed() {
            return Ok(Waited::Busy(now));
        }
        if told != now.running {
            told = now.running;
            commands::remark(&format!("{told} runs are under way"));
        }
        sleep(LOOK_EVERY.min(at_most.saturating_sub(watch.elapsed()))).await;
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
