//! Tells, while callers are turned away, that they are.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    clock::SharedClock,
    domain::problem::{Problem, ProblemKind, Severity},
    door::{Door, Figures},
    monitor::Monitor,
};

const SUBJECT: &str = "connections";
/// Between two looks at what has come of it: each new word is written.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Between two looks whether it has become graver.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Keeps the problem of connections that cannot be taken, until `stop`.
pub(super) async fn tell_crowds(
    monitor: Monitor,
    clock: SharedClock,
    door: Door,
    stop: CancellationToken,
) {
    let kind = ProblemKind::ServerConnections;
    let told_for = door.bounds().told_for;
    let mut before = Figures::default();
    while stop.run_until_cancelled(door.troubled()).await.is_some() {
        let since = clock.now();
        loop {
            let (severity, what) = told(&before, &door.figures());
            let problem = Problem::new(kind, SUBJECT, what, since).severity(severity);
            monitor.memory().raise(problem, None);
            let graver = async {
                while told(&before, &door.figures()).0 <= severity {
                    door.troubled().await;
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            };
            // Graver is told at once; what is no graver, from time to time.
            let rest = LOOK_EVERY.min(told_for);
            let rested = tokio::time::timeout(rest, graver);
            match stop.run_until_cancelled(rested).await {
                None => return,
                Some(Ok(())) => continue,
                Some(Err(_)) => {}
            }
            let more = tokio::time::timeout(told_for, door.troubled());
            match stop.run_until_cancelled(more).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(_)) => break,
            }
        }
        before = door.figures();
        monitor.memory().clear(kind, SUBJECT, clock.now());
    }
}

/// What has come to pass since it last was over.
fn told(before: &Figures, now: &Figures) -> (Severity, String) {
    let turned_away = now.turned_away - before.turned_away;
    let failed = now.failed - before.failed;
    let mut told = Vec::new();
    if 0 < turned_away {
        told.push(format!("{turned_away} callers were turned away"));
    }
    if 0 < failed {
        told.push(format!(
            "{failed} times no connection could be taken: {}",
            now.failure
        ));
    }
    let sent_away = now.sent_away - before.sent_away;
    if 0 < sent_away {
        told.push(format!(
            "{sent_away} idle connections were closed for new ones"
        ));
    }
    let what = format!(
        "{} connections are open, {} of them idle, and {} may be: {}",
        now.open,
        now.idle,
        now.most,
        told.join("; ")
    );
    // Whoever was idle comes back by itself; who was turned away has been told nothing.
    let severity = match turned_away + failed {
        0 => Severity::Warning,
        _ => Severity::Critical,
    };
    (severity, what)
}
