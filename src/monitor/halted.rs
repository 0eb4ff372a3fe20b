//! Whether the log's end has halted: told to watches and as a problem within 2 s, without the database.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::{
    domain::problem::{Problem, ProblemKind},
    store::Hindrance,
};

/// Of what the problem is.
pub(super) const SUBJECT: &str = "log";
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// One that has not moved for so long has halted, where that is so at some looks in a row: a process that got no
/// time to run finds out at its first.
const HALTED_AFTER: Duration = Duration::from_secs(1);
const LOOKS: u32 = 3;

impl Inner {
    /// Looks at the log's end, until `stop`.
    pub(super) async fn see_log(&self, stop: CancellationToken) {
        let tail = self.engine.store().tail();
        let mut seen = 0;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut rests = true;
        let mut next = async |rests: bool| {
            // Nothing is hindered of which no look has begun.
            if rests {
                tail.tried().await;
            }
            look.tick().await
        };
        while stop.run_until_cancelled(next(rests)).await.is_some() {
            let hindrance = tail.hindrance();
            rests = hindrance.is_none();
            let halted = hindrance.filter(|hindrance| HALTED_AFTER <= hindrance.lasts);
            let Some(halted) = halted else {
                seen = 0;
                tail.tell_stalled(None);
                let now = self.engine.clock().now();
                self.memory.clear(ProblemKind::LogStalled, SUBJECT, now);
                continue;
            };
            seen += 1;
            if seen < LOOKS {
                continue;
            }
            tail.tell_stalled(Some(halted.since));
            // That the database does not answer is told as such.
            if !halted.holders.is_empty() {
                self.memory.raise(problem(&halted), None);
            }
        }
    }
}

fn problem(halted: &Hindrance) -> Problem {
    let holders: Vec<String> = halted.holders.iter().map(i32::to_string).collect();
    let message = format!(
        "watches hear of nothing: of the log, numbers are held by transactions of servers of this cluster that are not \
         over, in PostgreSQL's processes {}",
        holders.join(", ")
    );
    Problem::new(ProblemKind::LogStalled, SUBJECT, message, halted.since)
}
