//! Whether this server takes no runs, since someone wants it so.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{
    engine::Engine,
    error::Result,
    monitor::probe::{Look, Probe, Scope},
};

const PERIOD: Duration = Duration::from_secs(10);

/// The drain of this server.
#[derive(Debug)]
pub(in crate::monitor) struct DrainProbe(pub(in crate::monitor) Engine);

impl Probe for DrainProbe {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn scope(&self) -> Scope {
        Scope::Replica
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let problems = self.0.drain_problem().into_iter().collect();
            // Its end by time is no event.
            let again_at = self.0.drained().drain.map(|drain| drain.until);
            Ok(Look { problems, again_at })
        })
    }
}
