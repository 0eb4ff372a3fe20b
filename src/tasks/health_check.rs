//! `perform-system-health-check`: measures, compares with thresholds, and raises or clears problems.

use anyhow::Context as _;
use jiff::SignedDuration;
use serde::Deserialize;

use super::Env;
use crate::{
    clock::{self, Stopwatch},
    config::Threshold,
    domain::problem::{Problem, ProblemKind, Severity},
    engine::{Done, Failure, Kind, RunContext},
    host::{self, Question},
};

const LATE_AFTER: SignedDuration = SignedDuration::from_secs(60);
const LATE_LOOKED_AT: i64 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthCheck {}

/// A measure, or why it could not be taken.
struct Measure {
    kind: ProblemKind,
    subject: &'static str,
    unit: &'static str,
    value: anyhow::Result<f64>,
    threshold: Threshold,
    less_is_worse: bool,
}

impl Measure {
    fn name(&self) -> &'static str {
        let text = self.kind.as_str();
        text.strip_prefix("health.").unwrap_or(text)
    }
}

impl Kind for HealthCheck {
    const NAME: &'static str = "perform-system-health-check";
    const ABOUT: &'static str =
        "Measures database latency, free disk, memory, load, queue, late slots and clock";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let measures = measure(&env, &context).await;
        let mut tx = context.begin().await?;
        let now = tx.now();
        let (mut unknown, mut crossed) = (Vec::new(), Vec::new());
        let mut counters = Vec::new();
        for measure in &measures {
            let name = measure.name();
            let problem = match &measure.value {
                Ok(value) => {
                    context.log(format!("{name} = {value:.1} {}", measure.unit));
                    counters.push((name, value.round() as i64));
                    let severity = judge(*value, measure.threshold, measure.less_is_worse);
                    if severity == Severity::Ok {
                        None
                    } else {
                        crossed.push(format!("{name} is {value:.1} {}", measure.unit));
                        let bound = match severity {
                            Severity::Critical => measure.threshold.critical,
                            _ => measure.threshold.warning,
                        };
                        let than = if measure.less_is_worse {
                            "below"
                        } else {
                            "above"
                        };
                        Some((
                            severity,
                            format!("{value:.1} {}, {than} {bound}", measure.unit),
                        ))
                    }
                }
                // Unknown is not healthy.
                Err(error) => {
                    context.log(format!("{name} could not be measured: {error:#}"));
                    unknown.push(name);
                    Some((
                        Severity::Warning,
                        format!("could not be measured: {error:#}"),
                    ))
                }
            };
            if context.dry_run {
                continue;
            }
            match problem {
                Some((severity, message)) => {
                    let message = format!("{name}: {message}");
                    let problem = Problem::new(measure.kind, measure.subject, message, now);
                    tx.problem_raise(Self::NAME, &problem.severity(severity), None)
                        .await?;
                }
                None => {
                    tx.problem_clear(measure.kind.as_str(), measure.subject)
                        .await?;
                }
            }
        }
        tx.commit().await?;
        let done = if !unknown.is_empty() {
            Done::partial(format!("could not measure {}", unknown.join(", ")))
        } else if crossed.is_empty() {
            Done::worked(format!("all {} measures are fine", measures.len()))
        } else {
            Done::worked(crossed.join("; "))
        };
        Ok(counters
            .into_iter()
            .fold(done, |done, (name, value)| done.count(name, value)))
    }
}

fn judge(value: f64, threshold: Threshold, less_is_worse: bool) -> Severity {
    let crosses = |bound: f64| {
        if less_is_worse {
            value < bound
        } else {
            bound < value
        }
    };
    if crosses(threshold.critical) {
        Severity::Critical
    } else if crosses(threshold.warning) {
        Severity::Warning
    } else {
        Severity::Ok
    }
}

async fn measure(env: &Env, context: &RunContext) -> Vec<Measure> {
    let bounds = &env.shared.health;
    let store = context.store();
    let now = context.clock.now();
    let queue = store.queue_counts().await;
    let late = match now.checked_sub(LATE_AFTER) {
        Ok(before) => store.due_count(before, LATE_LOOKED_AT).await,
        Err(_) => Ok(0),
    };
    let offset = store
        .clock_reading()
        .await
        .map(|read| read.off(clock::wall_now()));
    let more = |kind, subject, unit, value, threshold| Measure {
        kind,
        subject,
        unit,
        value,
        threshold,
        less_is_worse: false,
    };
    vec![
        more(
            ProblemKind::HealthDatabaseLatency,
            "database",
            "ms",
            latency(context).await,
            bounds.database_latency_ms,
        ),
        Measure {
            less_is_worse: true,
            ..more(
                ProblemKind::HealthDiskFree,
                "disk",
                "%",
                disk(env).await,
                bounds.disk_free_percent,
            )
        },
        Measure {
            less_is_worse: true,
            ..more(
                ProblemKind::HealthMemory,
                "memory",
                "%",
                memory(),
                bounds.memory_available_percent,
            )
        },
        more(
            ProblemKind::HealthLoad,
            "load",
            "",
            load(),
            bounds.load_per_core,
        ),
        more(
            ProblemKind::HealthQueueDepth,
            "queue",
            "runs",
            queue.map(|queue| queue.queued as f64).map_err(Into::into),
            bounds.queue_depth,
        ),
        more(
            ProblemKind::HealthLateSlots,
            "scheduler",
            "tasks",
            late.map(|late| late as f64).map_err(Into::into),
            bounds.late_slots,
        ),
        more(
            ProblemKind::HealthClockOffset,
            "clock",
            "ms",
            offset
                .map(|offset| offset.abs().as_secs_f64() * 1000.0)
                .map_err(Into::into),
            bounds.clock_offset_ms,
        ),
    ]
}

/// Milliseconds of a small read: the median of three.
async fn latency(context: &RunContext) -> anyhow::Result<f64> {
    let mut spans = Vec::with_capacity(3);
    for _ in 0..3 {
        let watch = Stopwatch::start();
        context.store().ping().await?;
        spans.push(watch.elapsed());
    }
    spans.sort();
    Ok(spans[1].as_secs_f64() * 1000.0)
}

async fn disk(env: &Env) -> anyhow::Result<f64> {
    let data = env.shared.data.clone();
    let what = format!("looking at the disk of {}", data.display());
    let ask = move || {
        let about = nix::sys::statvfs::statvfs(&data);
        let about =
            about.with_context(|| format!("could not ask about the disk of {}", data.display()))?;
        let (free, all) = (about.blocks_available() as f64, about.blocks() as f64);
        anyhow::ensure!(0.0 < all, "the disk of {} tells no size", data.display());
        Ok(free / all * 100.0)
    };
    host::ask(Question::of_file(&env.shared.data, what), ask).await?
}

fn memory() -> anyhow::Result<f64> {
    let mut system = sysinfo::System::new()?;
    system.refresh_memory();
    let (available, all) = (
        system.available_memory() as f64,
        system.total_memory() as f64,
    );
    anyhow::ensure!(0.0 < all, "the system tells no size of its memory");
    Ok(available / all * 100.0)
}

fn load() -> anyhow::Result<f64> {
    let cores =
        std::thread::available_parallelism().context("the system tells no number of cores")?;
    Ok(sysinfo::System::load_average()?.one / cores.get() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_knows_its_direction() {
        let free = Threshold {
            warning: 15.0,
            critical: 5.0,
        };
        assert_eq!(judge(20.0, free, true), Severity::Ok);
        assert_eq!(judge(10.0, free, true), Severity::Warning);
        assert_eq!(judge(1.0, free, true), Severity::Critical);
        let load = Threshold {
            warning: 4.0,
            critical: 16.0,
        };
        assert_eq!(judge(3.0, load, false), Severity::Ok);
        assert_eq!(judge(17.0, load, false), Severity::Critical);
    }
}
