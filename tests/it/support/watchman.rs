//! A probe that finds what a test says, hangs, fails or panics when it is told to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use watchbell::{
    domain::{
        Event,
        problem::{Problem, ProblemKind},
    },
    error::{Error, Result},
    monitor::{Look, Probe, Scope},
};

use super::{noon, until};

/// How often it looks.
pub(crate) const PERIOD: i64 = 20;

/// What the test's probe does next; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Watchman {
    scope: Scope,
    orders: Arc<Mutex<Orders>>,
    looks: Arc<AtomicUsize>,
    hanging: Arc<AtomicUsize>,
}

#[derive(Clone, Debug)]
enum Orders {
    Find(Vec<Problem>),
    Hang,
    Fail(&'static str),
    Panic(&'static str),
}

impl Watchman {
    /// It looks for the cluster, and finds nothing.
    pub(crate) fn new() -> Self {
        Self::of(Scope::Cluster)
    }

    pub(crate) fn of(scope: Scope) -> Self {
        Self {
            scope,
            orders: Arc::new(Mutex::new(Orders::Find(Vec::new()))),
            looks: Arc::default(),
            hanging: Arc::default(),
        }
    }

    pub(crate) fn finds(&self, problems: &[Problem]) {
        self.order(Orders::Find(problems.to_vec()));
    }

    pub(crate) fn hangs(&self) {
        self.order(Orders::Hang);
    }

    pub(crate) fn fails(&self, why: &'static str) {
        self.order(Orders::Fail(why));
    }

    pub(crate) fn panics(&self, why: &'static str) {
        self.order(Orders::Panic(why));
    }

    /// How often it has begun to look.
    pub(crate) fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    /// Waits until a look hangs: one that had begun before it was told to ends as it was told then.
    pub(crate) async fn hung(&self) {
        until("the look that hangs", async || {
            (0 < self.hanging.load(Ordering::SeqCst)).then_some(())
        })
        .await;
    }

    fn order(&self, orders: Orders) {
        *self.orders.lock().unwrap() = orders;
    }
}

/// A problem as the watchman finds it, of a kind that nothing else raises by itself.
pub(crate) fn trouble(subject: &str, message: &str) -> Problem {
    Problem::new(ProblemKind::HealthLoad, subject, message, noon())
}

impl Probe for Watchman {
    fn name(&self) -> &'static str {
        "watchman"
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn period(&self) -> Duration {
        Duration::from_secs(PERIOD.unsigned_abs())
    }

    fn is_touched_by(&self, _: &Event) -> bool {
        false
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            self.looks.fetch_add(1, Ordering::SeqCst);
            let orders = self.orders.lock().unwrap().clone();
            match orders {
                Orders::Find(problems) => Ok(Look::of(problems)),
                Orders::Hang => {
                    self.hanging.fetch_add(1, Ordering::SeqCst);
                    std::future::pending().await
                }
                Orders::Fail(why) => Err(Error::internal(why)),
                Orders::Panic(why) => panic!("{why}"),
            }
        })
    }
}
