//! From facts of points to what becomes of each, with every reason.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use uuid::Uuid;

use super::Retention;
use crate::domain::backup::PointState;

/// The newest good points that stay whatever the rules say.
const FLOOR: usize = 3;
/// How long what is not good is kept for someone to look at.
const LOOK_AT_IT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A plan that would remove more than this share needs confirmation.
const SHARE: (usize, usize) = (3, 10);

/// An instant that is noted is later than now by so much at the most.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// What is known of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointFacts {
    pub id: Uuid,
    pub frozen_at: Timestamp,
    pub state: PointState,
    /// Whether it was read back.
    pub verified: bool,
    /// Whether a drill has restored it.
    pub drilled: bool,
    /// Whether not all of it comes back as it was.
    pub damaged: bool,
    /// By whom and why it is kept.
    pub pinned: Option<String>,
    /// Whether it is being read now.
    pub in_use: bool,
}

/// Whether anything may be removed at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freeze {
    No,
    /// Nothing, for this reason.
    Frozen(String),
}

/// What becomes of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub id: Uuid,
    pub frozen_at: Timestamp,
    pub keep: bool,
    /// At least one.
    pub reasons: Vec<String>,
}

/// What becomes of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Newest first.
    pub decisions: Vec<Decision>,
    /// Good points that were made since points were last removed: each may push one out.
    pub new: usize,
}

impl Plan {
    /// Whether so much would go that someone must confirm it: over 30 %, however few that are, but for the one that each
    /// new good point pushes out.
    pub fn needs_confirmation(&self) -> bool {
        let gone = self
            .decisions
            .iter()
            .filter(|decision| !decision.keep)
            .count();
        self.new.max(1) < gone && SHARE.0 * self.decisions.len() < SHARE.1 * gone
    }
}

/// A point with what speaks for it.
struct Judged<'a> {
    facts: &'a PointFacts,
    /// By rules, which ceilings may overrule.
    rules: Vec<String>,
    /// By floors, which nothing overrules.
    floors: Vec<String>,
    /// Which ceilings overrule the rules.
    ceilings: Vec<String>,
}

/// Decides what becomes of each point of a policy; periods are those of `zone`.
pub fn plan(
    points: &[PointFacts],
    retention: &Retention,
    now: Timestamp,
    zone: &TimeZone,
    freeze: &Freeze,
) -> Plan {
    let is_ahead = |facts: &&PointFacts| later_than(facts.frozen_at, now);
    let ahead = points.iter().filter(is_ahead).map(|facts| Decision {
        id: facts.id,
        frozen_at: facts.frozen_at,
        keep: true,
        reasons: vec!["made by a clock that was ahead: kept, and counts for none".to_owned()],
    });
    let mut judged: Vec<Judged<'_>> = points
        .iter()
        .filter(|facts| !is_ahead(facts))
        .map(|facts| Judged {
            facts,
            rules: Vec::new(),
            floors: Vec::new(),
            ceilings: Vec::new(),
        })
        .collect();
    judged.sort_by_key(|one| std::cmp::Reverse((one.facts.frozen_at, one.facts.id)));
    by_rules(&mut judged, retention, now, zone);
    by_ceilings(&mut judged, retention, now);
    by_floors(&mut judged, now);
    let decide = |one: Judged<'_>| {
        let held = !one.floors.is_empty() || (!one.rules.is_empty() && one.ceilings.is_empty());
        let frozen = match freeze {
            Freeze::Frozen(why) if !held => Some(format!("frozen: {why}")),
            _ => None,
        };
        let mut reasons = one.floors;
        if one.ceilings.is_empty() {
            reasons.extend(one.rules);
        } else if reasons.is_empty() {
            reasons.extend(one.ceilings);
        }
        let keep = held || frozen.is_some();
        reasons.extend(frozen);
        if reasons.is_empty() {
            reasons.push("no rule keeps it".to_owned());
        }
        Decision {
            id: one.facts.id,
            frozen_at: one.facts.frozen_at,
            keep,
            reasons,
        }
    };
    let mut decisions: Vec<Decision> = ahead.collect();
    decisions.sort_by_key(|one| std::cmp::Reverse((one.frozen_at, one.id)));
    decisions.extend(judged.into_iter().map(decide));
    Plan { decisions, new: 0 }
}

/// Whether an instant was noted by a clock that is ahead of this one by more than clocks of replicas may be.
fn later_than(at: Timestamp, now: Timestamp) -> bool {
    AHEAD < at.duration_since(now)
}

fn is_good(facts: &PointFacts) -> bool {
    facts.state == PointState::Complete && facts.verified && !facts.damaged
}

/// The newest of each period that has one, and those that are young.
fn by_rules(judged: &mut [Judged<'_>], retention: &Retention, now: Timestamp, zone: &TimeZone) {
    type Period = fn(&Zoned) -> String;
    let periods: [(&str, u32, Period); 5] = [
        // An hour that occurs twice is two.
        ("hourly", retention.hourly, |at| {
            at.strftime("%Y-%m-%d %H:00 %z").to_string()
        }),
        ("daily", retention.daily, |at| at.date().to_string()),
        ("weekly", retention.weekly, |at| {
            let week = at.date().iso_week_date();
            format!("{}-W{:02}", week.year(), week.week())
        }),
        ("monthly", retention.monthly, |at| {
            at.strftime("%Y-%m").to_string()
        }),
        ("yearly", retention.yearly, |at| {
            at.strftime("%Y").to_string()
        }),
    ];
    let mut seen: [BTreeSet<String>; 5] = std::array::from_fn(|_| BTreeSet::new());
    let mut last = 0;
    for one in judged.iter_mut().filter(|one| is_good(one.facts)) {
        last += 1;
        if last <= retention.last {
            one.rules.push(format!("last {last} of {}", retention.last));
        }
        let at = one.facts.frozen_at.to_zoned(zone.clone());
        for ((name, count, period), seen) in periods.iter().zip(&mut seen) {
            if seen.len() < *count as usize {
                let period = period(&at);
                if seen.insert(period.clone()) {
                    one.rules.push(format!("{name} {period}"));
                }
            }
        }
        let age = now.duration_since(one.facts.frozen_at);
        if let Some(within) = retention.within
            // What is from the future, as of a clock that was wrong, is young.
            && (age.is_negative() || age.unsigned_abs() <= within)
        {
            one.rules
                .push(format!("within {}", crate::domain::span::format(within)));
        }
    }
}

fn by_ceilings(judged: &mut [Judged<'_>], retention: &Retention, now: Timestamp) {
    let mut kept = 0;
    for one in judged.iter_mut() {
        let age = now.duration_since(one.facts.frozen_at);
        if let Some(max) = retention.max_age
            && !age.is_negative()
            && max < age.unsigned_abs()
        {
            let max = crate::domain::span::format(max);
            one.ceilings.push(format!("over max_age {max}"));
        }
        if one.rules.is_empty() || !one.ceilings.is_empty() {
            continue;
        }
        kept += 1;
        if let Some(max) = retention.max_count.filter(|max| *max < kept) {
            one.ceilings.push(format!("over max_count {max}"));
        }
    }
}

fn by_floors(judged: &mut [Judged<'_>], now: Timestamp) {
    let newest_good = judged.iter().position(|one| is_good(one.facts));
    let mut good = 0;
    for (index, one) in judged.iter_mut().enumerate() {
        if let Some(pinned) = &one.facts.pinned {
            one.floors.push(format!("pinned by {pinned}"));
        }
        if one.facts.in_use {
            one.floors.push("in use".to_owned());
        }
        if Some(index) == newest_good {
            one.floors.push("newest verified".to_owned());
        }
        if is_good(one.facts) {
            good += 1;
            if good <= FLOOR {
                one.floors.push(format!("one of the last {FLOOR} good"));
            }
            continue;
        }
        // Where nothing newer is good, it may be all there is.
        let newest = newest_good.is_none_or(|newest| index < newest);
        let what = match one.facts.state {
            _ if one.facts.damaged => "damaged",
            PointState::Partial => "partial",
            PointState::Complete => "not read back",
        };
        if newest {
            one.floors
                .push(format!("{what}, and nothing newer is good"));
        } else if now.duration_since(one.facts.frozen_at) < LOOK_AT_IT {
            one.floors
                .push(format!("{what}, kept for 7 days to look at"));
        }
    }
}
