//! Retention: rules and plans.

use super::time::{duration, span, stamp};
use crate::{
    backup::PolicyPlan,
    domain::backup::retention::Retention,
    error::{Error, Result},
    pb,
};

/// Decisions that an answer shows.
const SHOWN: usize = 10_000;

/// Rules from outside.
pub(in crate::api) fn retention(given: Option<&pb::RetentionPolicy>) -> Result<Retention> {
    let Some(given) = given else {
        let what = "expected what is to be kept, such as keep_last";
        return Err(Error::invalid("policy.retention", what));
    };
    let count = |field: &str, count: i32| {
        u32::try_from(count).map_err(|_| {
            let what = format!("{count} given; expected 0 or more");
            Error::invalid(format!("policy.retention.{field}"), what)
        })
    };
    let within = |field: &str, span: &Option<prost_types::Duration>| {
        let field = format!("policy.retention.{field}");
        span.as_ref().map(|span| duration(&field, span)).transpose()
    };
    Ok(Retention {
        last: count("keep_last", given.keep_last)?,
        hourly: count("keep_hourly", given.keep_hourly)?,
        daily: count("keep_daily", given.keep_daily)?,
        weekly: count("keep_weekly", given.keep_weekly)?,
        monthly: count("keep_monthly", given.keep_monthly)?,
        yearly: count("keep_yearly", given.keep_yearly)?,
        within: within("keep_within", &given.keep_within)?,
        max_age: within("max_age", &given.max_age)?,
        max_count: Some(count("max_count", given.max_count)?).filter(|count| 0 < *count),
    })
}

pub(in crate::api) fn retention_message(retention: &Retention) -> pb::RetentionPolicy {
    let small = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    pb::RetentionPolicy {
        keep_last: small(retention.last),
        keep_hourly: small(retention.hourly),
        keep_daily: small(retention.daily),
        keep_weekly: small(retention.weekly),
        keep_monthly: small(retention.monthly),
        keep_yearly: small(retention.yearly),
        keep_within: retention.within.map(span),
        max_age: retention.max_age.map(span),
        max_count: retention.max_count.map_or(0, small),
    }
}

pub(in crate::api) fn retention_plans(plans: &[PolicyPlan]) -> pb::PlanRetentionResponse {
    let mut answer = pb::PlanRetentionResponse::default();
    for plan in plans {
        for decision in &plan.plan.decisions {
            match decision.keep {
                true => answer.keep_count += 1,
                false => answer.remove_count += 1,
            }
            if answer.decisions.len() < SHOWN {
                answer.decisions.push(pb::RetentionDecision {
                    restore_point: format!("restorePoints/{}", decision.id),
                    policy: format!("backupPolicies/{}", plan.policy),
                    freeze_time: Some(stamp(decision.frozen_at)),
                    keep: decision.keep,
                    reasons: decision.reasons.clone(),
                });
            }
        }
        answer.needs_confirmation |= plan.needs_confirmation();
        if let Some(why) = &plan.frozen {
            if !answer.frozen_message.is_empty() {
                answer.frozen_message.push_str("; ");
            }
            answer
                .frozen_message
                .push_str(&format!("{}: {why}", plan.policy));
        }
    }
    answer
}
