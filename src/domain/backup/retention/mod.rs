//! Which restore points are kept: rules, ceilings above them, and floors above those.
//!
//! Only points that are complete and were read back count for the rules. What is not good is kept for a while, so that
//! someone can look at it, and goes once something newer is good; it never pushes a good one out.

mod plan;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::plan::{Decision, Freeze, Plan, PointFacts, plan};
use crate::{
    domain::span,
    error::{Error, Faults, Result},
};

/// The most that a count may be.
const COUNT_MAX: u32 = 10_000;
/// The longest span: a hundred years.
const SPAN_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Rules and ceilings of a policy. A point is kept where any rule keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The newest so many.
    #[serde(skip_serializing_if = "is_zero")]
    pub last: u32,
    /// The newest of each of so many hours, days, ISO weeks, months and years that have one.
    #[serde(skip_serializing_if = "is_zero")]
    pub hourly: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub daily: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub weekly: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub monthly: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub yearly: u32,
    /// All that are younger.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// A ceiling: no rule keeps what is older.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// A ceiling: rules keep so many at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_count: Option<u32>,
}

impl Retention {
    /// Keeps the newest so many.
    pub fn last(count: u32) -> Self {
        Self {
            last: count,
            ..Self::default()
        }
    }

    /// # Errors
    /// [`Error::Invalid`] naming the field.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("keep_last", self.last),
            ("keep_hourly", self.hourly),
            ("keep_daily", self.daily),
            ("keep_weekly", self.weekly),
            ("keep_monthly", self.monthly),
            ("keep_yearly", self.yearly),
            ("max_count", self.max_count.unwrap_or(1)),
        ];
        let mut faults = Faults::default();
        let mut wrong = |field: &str, what: String| {
            let error = Error::invalid(field, what);
            faults.take(Err::<(), _>(error)).map(drop)
        };
        for (field, count) in counts {
            if COUNT_MAX < count {
                wrong(
                    field,
                    format!("{count} given; expected at most {COUNT_MAX}"),
                )?;
            }
        }
        let spans = [("keep_within", self.within), ("max_age", self.max_age)];
        for (field, span) in spans {
            if span.is_some_and(|span| span.is_zero() || SPAN_MAX < span) {
                let what = "expected a span of more than nothing and at most 100 years";
                wrong(field, what.to_owned())?;
            }
        }
        if self.max_count == Some(0) {
            let what = "0 given; expected 1 or more, or none";
            wrong("max_count", what.to_owned())?;
        }
        let counted = counts[..6].iter().any(|(_, count)| 0 < *count);
        if !counted && self.within.is_none() {
            let what = "no rule keeps anything; expected one of keep_last, keep_hourly, keep_daily, keep_weekly, \
                        keep_monthly, keep_yearly and keep_within";
            wrong("keep_last", what.to_owned())?;
        }
        faults.done()
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
