//! Retention: rules and plans.

use super::time::{duration, span, stamp};
use crate::{
    backup::PolicyPlan,
    domain::backup::retention::Retention,
    error::{Error, Result, all},
    pb,
};

/// Decisions that an answer shows.
const SHOWN: usize = 10_000;

/// Rules from outside, which stand at `path` in the request.
pub(in crate::api) fn retention(
    path: &str,
    given: Option<&pb::RetentionPolicy>,
) -> Result<Retention> {
    let Some(given) = given else {
        let what = "expected what is to be kept, such as keep_last";
        return Err(Error::invalid(path, what));
    };
    let count = |field: &str, count: i32| {
        u32::try_from(count).map_err(|_| {
            let what = format!("{count} given; expected 0 or more");
            Error::invalid(format!("{path}.{field}"), what)
        })
    };
    let within = |field: &str, span: &Option<prost_types::Duration>| {
        let field = format!("{path}.{field}");
        span.as_ref().map(|span| duration(&field, span)).transpose()
    };
    let ((last, hourly, daily, weekly), (monthly, yearly, max_count), (within, max_age)) = all((
        all((
            count("keep_last", given.keep_last),
            count("keep_hourly", given.keep_hourly),
            count("keep_daily", given.keep_daily),
            count("keep_weekly", given.keep_weekly),
        )),
        all((
            count("keep_monthly", given.keep_monthly),
            count("keep_yearly", given.keep_yearly),
            count("max_count", given.max_count),
        )),
        all((
            within("keep_within", &given.keep_within),
            within("max_age", &given.max_age),
        )),
    ))?;
    Ok(Retention {
        last,
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
        within,
        max_age,
        max_count: Some(max_count).filter(|count| 0 < *count),
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
