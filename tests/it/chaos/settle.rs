//! The end of a story: the storm is over, and everything is held against everything.

use watchbell_client::{call::unary, pb};

use super::{
    arena::{Arena, CALM_WITHIN, LEASES_LOST},
    figures::{Tokens, load_average},
    look::Look,
    pace::soon,
    report,
    verdict::{self, Faults},
};
use crate::process::harness::finish;

impl Arena {
    /// Ends the storm, waits for calm, and holds everything against everything.
    pub(super) async fn settle(mut self) {
        self.end_storm().await;
        let look = self.look().await;
        self.calm(&look).await;
        self.audit("after the storm");
        let faults = self.hold(&look).await;
        report::keep(std::mem::take(&mut self.figures), self.form);
        faults.assert_none();
        for replica in std::mem::take(&mut self.replicas) {
            replica.stop().await;
        }
    }

    async fn end_storm(&mut self) {
        self.decides("every task to be decided after the storm")
            .await;
        if let Some(caller) = self.caller.take() {
            self.figures.calls.answered += caller.finish().await;
        }
        self.audit("in the storm");
        let paused = unary(pb::PauseAllRequest::default(), async |request| {
            self.client().scheduler().pause_all(request).await
        });
        paused.await.unwrap();
        self.figures.seconds = self.now().as_secs_f64();
        self.figures.load_average = load_average();
    }

    /// Waits until every run has ended, and every watcher has seen that.
    async fn calm(&self, look: &Look) {
        let calm = soon("every run to end", CALM_WITHIN, async || {
            let live = "SELECT count(*) FROM runs WHERE finished_at IS NULL";
            (look.number(live).await? == 0).then_some(())
        });
        calm.await;
        let last = "SELECT max(sequence) FROM events WHERE kind LIKE 'run.%'";
        for watcher in &self.watchers {
            let of_it = match watcher.task.strip_prefix("tasks/") {
                Some(task) => format!("{last} AND subject LIKE 'tasks/{task}/%'"),
                None => last.to_owned(),
            };
            let last = look.number(&of_it).await.unwrap_or(0);
            let reached = soon(
                "the watchers to see the last event",
                CALM_WITHIN,
                async || watcher.has_reached(last).then_some(()),
            );
            reached.await;
        }
    }

    async fn hold(&mut self, look: &Look) -> Faults {
        let mut faults = Faults::default();
        let (tasks, runs) = (look.tasks().await, look.runs().await);
        let (attempts, events) = (look.attempts().await, look.events().await);
        let (tally, lost) = (self.tokens.tally(), look.number(LEASES_LOST).await);
        let figures = &mut self.figures;
        figures.slots = verdict::slots(&tasks, &look.slots().await, &runs, &mut faults);
        let before = faults.count();
        figures.runs = verdict::runs(&runs, &attempts, &tally, &mut faults);
        verdict::events(&events, &runs, &mut faults);
        verdict::in_line(&events, &mut faults);
        figures.illegal = faults.count() - before;
        figures.leases_lost = lost.unwrap_or(-1);
        figures.watchers = self
            .watchers
            .iter()
            .map(|it| verdict::watched(it.name, &it.task, &it.notes(), &events, &mut faults))
            .collect();
        let by_hand = runs.values().filter(|run| run.trigger == "manual");
        figures.calls.runs = by_hand.count() as u64;
        figures.tokens = Tokens {
            handlers: tally.handlers,
            writes: tally.writes,
            refused: tally.refused,
            overlapping: tally.overlapping,
            doubled: tally.doubled,
        };
        for mark in figures.marks(self.form) {
            faults.add_if(mark.met == Some(false), || format!("{mark:?}"));
        }
        faults
    }

    /// What `watchbell audit-slots` says.
    #[track_caller]
    fn audit(&self, when: &str) {
        let url = self.url();
        let mut audit = self.place.watchbell("audit-slots", &["--database", &url]);
        audit.envs(self.environment.clone());
        let done = tokio::task::block_in_place(|| finish(audit));
        assert_eq!(done.code(), 0, "{when}: {done:?}");
    }
}
