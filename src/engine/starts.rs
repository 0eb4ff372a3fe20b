//! Starts what was just ordered in the transaction that orders it, where this replica has a place: one
//! commit then stands between the call and the handler, instead of two.

use std::sync::{Mutex, PoisonError, atomic::Ordering};

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    Engine,
    runner::{Runner, Taken},
};
use crate::{
    domain::Run,
    error::{Error, Result},
    store::Tx,
};

/// The runner of this process, while it takes runs.
#[derive(Debug, Default)]
pub(super) struct Starter(Mutex<Option<(Runner, CancellationToken)>>);

/// Takes the runner away again: it holds the engine, which holds it.
#[derive(Debug)]
pub(super) struct Starting(Engine);

impl Drop for Starting {
    fn drop(&mut self) {
        *self.0.starter().lock() = None;
    }
}

impl Starter {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Runner, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// From now until the end of what is returned, orders start at once; none after `stop`.
    pub(super) fn start_orders_on(&self, runner: &Runner, stop: &CancellationToken) -> Starting {
        *self.starter().lock() = Some((runner.clone(), stop.clone()));
        Starting(self.clone())
    }

    /// Commits an ordered run, and starts it where it is next, and there is a place. `others_wait`: other runs may be more
    /// urgent.
    ///
    /// # Errors
    /// As a commit does.
    pub(super) async fn insert_and_start(
        &self,
        mut tx: Tx,
        run: Run,
        others_wait: bool,
    ) -> Result<()> {
        let starter = self.starter().lock().clone();
        let Some((runner, stop)) = starter else {
            tx.runs_insert(&[run]).await?;
            return tx.commit().await;
        };
        // Whose call is given up in the middle must not leave a run that is claimed, and that nobody runs.
        let started = async move { runner.insert_and_start(tx, run, others_wait, &stop).await };
        tokio::spawn(started).await.map_err(Error::internal)?
    }
}

impl Runner {
    async fn insert_and_start(
        &self,
        mut tx: Tx,
        run: Run,
        others_wait: bool,
        stop: &CancellationToken,
    ) -> Result<()> {
        // Held before the look at `stop`: who waits for the end of all runs waits for this one too.
        let _running = self.running.token();
        let others_wait_here = self.backlog.load(Ordering::Relaxed);
        let claiming = self.engine.may_claim_now();
        let places = match stop.is_cancelled() || others_wait_here || claiming.is_none() {
            true => Vec::new(),
            false => self.free_places(1),
        };
        if places.is_empty() {
            tx.runs_insert(&[run]).await?;
            return tx.commit().await;
        }
        let started = self.start_in(places, tx, run, others_wait).await;
        if !matches!(started, Ok(1..)) {
            // Who heard the bell meanwhile may have found no place.
            self.engine.store().bells().ring_queue();
        }
        started.map(|_| ())
    }

    /// Commits an ordered run, and starts what is next in these places; says how many.
    async fn start_in(
        &self,
        places: Vec<OwnedSemaphorePermit>,
        mut tx: Tx,
        run: Run,
        others_wait: bool,
    ) -> Result<usize> {
        let started = match others_wait {
            true => None,
            false => {
                let (replica, lease) = (self.engine.replica().id, self.engine.settings().lease);
                tx.run_start(&run, replica, lease).await?
            }
        };
        let runs = match started {
            Some(started) => vec![started],
            None => {
                tx.runs_insert(&[run]).await?;
                match self.take(&mut tx, places.len(), &self.hosts.ids()).await? {
                    Taken::Runs(runs) => runs,
                    Taken::Hosted => {
                        let why = anyhow::anyhow!("a run that is still under way here was taken");
                        return Err(Error::unavailable("queue", why));
                    }
                }
            }
        };
        tx.commit().await?;
        let count = runs.len();
        self.host_all(runs, places);
        Ok(count)
    }
}
