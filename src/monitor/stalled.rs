//! What nobody has looked at for too long, or not at all since the start: found by the reader, who trusts no loop.

use std::time::Duration;

use jiff::Timestamp;

use super::{Monitor, probe::Scope, pulse, sentry::PERIODS};
use crate::domain::problem::{Problem, ProblemKind, Severity};

impl Monitor {
    /// Probes and pulses whose news are too old, as problems.
    pub(super) fn stalled(&self) -> Vec<Problem> {
        let inner = &self.inner;
        let own = inner.engine.replica().id;
        let passed = inner.engine.clock().passed();
        let mut problems = Vec::new();
        for sentry in inner.sentries.iter() {
            let (looked_at, born_at, age) = sentry.age(passed);
            let (name, period) = (sentry.probe.name(), sentry.probe.period());
            if period * PERIODS < age {
                problems.push(stalled(name, period, looked_at, born_at));
            } else if looked_at.is_none() {
                let problem = stalled(name, period, looked_at, born_at);
                problems.push(problem.severity(Severity::Warning));
            }
        }
        match inner.pulse.age(passed) {
            Some((at, age)) if pulse::EVERY * PERIODS < age => {
                problems.push(stalled("pulse", pulse::EVERY, Some(at), at));
            }
            // Without it nothing is known of the others.
            None => {
                let started = inner.sentries.first().map(|sentry| sentry.age(passed));
                if let Some((_, born_at, age)) = started {
                    let problem = stalled("pulse", pulse::EVERY, None, born_at);
                    let is_long = pulse::EVERY * PERIODS < age;
                    let (long, short) = (Severity::Critical, Severity::Warning);
                    problems.push(problem.severity(if is_long { long } else { short }));
                }
            }
            Some(_) => {
                for other in inner.pulse.stalled_elsewhere(passed) {
                    let (at, period) = (other.mark.looked_at, other.mark.period);
                    let problem = stalled(&other.mark.name, period, Some(at), at);
                    problems.push(Problem {
                        replica: other.mark.replica,
                        ..problem
                    });
                }
            }
        }
        for problem in &mut problems {
            let of_cluster = inner.sentries.iter().any(|sentry| {
                sentry.probe.scope() == Scope::Cluster
                    && problem.subject.strip_prefix("probes/") == Some(sentry.probe.name())
            });
            if !of_cluster && problem.replica.is_none() {
                problem.replica = Some(own);
            }
        }
        problems
    }
}

/// A probe that has not looked for too long, or not at all.
fn stalled(
    name: &str,
    period: Duration,
    looked_at: Option<Timestamp>,
    born_at: Timestamp,
) -> Problem {
    let last = match looked_at {
        Some(at) => format!("has last looked at {at}"),
        None => format!("has not looked yet since the start at {born_at}"),
    };
    let message = format!(
        "the probe {name} looks every {} s, and {last}: what it looks after is not known",
        period.as_secs()
    );
    let since = looked_at.unwrap_or(born_at);
    Problem::new(
        ProblemKind::MonitorStalled,
        format!("probes/{name}"),
        message,
        since,
    )
}
