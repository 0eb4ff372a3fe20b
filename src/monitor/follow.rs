//! Following the log: an event has those probes look that it touches.

use tokio_util::sync::CancellationToken;

use super::{Inner, probe::Scope, sentry::Sentry};
use crate::domain::EventKind;

/// Events taken in one go.
const PAGE: usize = 512;

impl Inner {
    /// Touches probes by what happens, until `stop`.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        let tail = self.engine.store().tail().clone();
        let mut grown = tail.grown();
        let mut at = *self.followed.borrow();
        let mut holds = self.holds.clone();
        let mut attending = None;
        while !stop.is_cancelled() {
            // Who looks for the cluster is touched by what happens to any task.
            match *holds.borrow_and_update() {
                true => _ = attending.get_or_insert_with(|| tail.attend()),
                false => attending = None,
            }
            let last = *grown.borrow_and_update();
            match tail.after(at, PAGE) {
                Some(events) => {
                    // What a newer server tells may touch any of them.
                    let touched = self.sentries.iter().filter(|sentry| {
                        events.iter().any(|event| {
                            event.kind == EventKind::Other || sentry.probe.is_touched_by(event)
                        })
                    });
                    touched.for_each(Sentry::touch);
                    at = events.last().map_or(last, |event| event.sequence).max(at);
                }
                // More has happened than is held here: any of it may have touched them, but for what was passed by.
                None => {
                    let passed_by = tail.last_of_attended() <= at;
                    let touched = self.sentries.iter();
                    let touched = touched
                        .filter(|sentry| !passed_by || sentry.probe.scope() == Scope::Cluster);
                    touched.for_each(Sentry::touch);
                    at = last;
                }
            }
            self.followed.send_replace(at);
            if last <= at {
                tokio::select! {
                    () = stop.cancelled() => {}
                    changed = grown.changed() => if changed.is_err() { return },
                    _ = holds.changed() => {}
                }
            }
        }
    }
}
