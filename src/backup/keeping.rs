//! Which restore points stay: plans of retention, pins, and whether a policy is frozen.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Backups, PolicyState};
use crate::{
    domain::{
        Caller,
        backup::{
            Finding, Level, PolicyId, PolicyKind,
            loss::Loss,
            point::{Evidence, Pin, RestorePoint},
            policy::Policy,
            retention::{self, Freeze, Plan, PointFacts, Retention},
        },
        schedule::{Schedule, just_before},
    },
    error::{Error, Reason, Result},
    store::Remember,
};

/// How far back the slots of a schedule are looked for.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24 * 400);
/// What was stamped is later than now by so much at the most, where the clock is right.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);
/// How old the newest good point may be where nothing is scheduled.
const UNSCHEDULED: SignedDuration = SignedDuration::from_hours(48);

/// What becomes of the points of a policy.
#[derive(Clone, Debug)]
pub struct PolicyPlan {
    /// Id of the policy, which may be deleted.
    pub policy: String,
    /// Newest first.
    pub points: Vec<RestorePoint>,
    pub plan: Plan,
    /// Why nothing is removed at present.
    pub frozen: Option<String>,
}

impl PolicyPlan {
    /// Those that go, and why.
    pub fn removed(&self) -> impl Iterator<Item = (&RestorePoint, String)> {
        let decisions = self.plan.decisions.iter().filter(|decision| !decision.keep);
        decisions.filter_map(|decision| {
            let point = self.points.iter().find(|point| point.id == decision.id)?;
            Some((point, decision.reasons.join("; ")))
        })
    }

    pub fn needs_confirmation(&self) -> bool {
        self.plan.needs_confirmation()
    }

    /// That it must be confirmed.
    pub fn unconfirmed(&self) -> Error {
        let subject = format!("backupPolicies/{}", self.policy);
        let message = format!(
            "retention of {subject} would remove {} of {} restore points, over 30 % and more than new ones push out: see `bellctl backup \
             plan-retention`, and confirm it where that is meant",
            self.removed().count(),
            self.points.len()
        );
        Error::conflict(Reason::NeedsConfirmation, subject, message)
    }
}

impl Backups {
    /// What retention would remove now; of one policy, or of all. `instead` of the policy's own rules.
    ///
    /// # Errors
    /// [`Error::Invalid`] where `instead` does not fit; [`Error::NotFound`].
    pub async fn plan_retention(
        &self,
        policy: Option<&PolicyId>,
        instead: Option<Retention>,
    ) -> Result<Vec<PolicyPlan>> {
        if let Some(retention) = &instead {
            let checked = retention.check();
            checked.map_err(|error| error.below("retention"))?;
        }
        let policies = match policy {
            Some(id) => vec![self.store().policy(id).await?],
            None => self.store().policies().await?,
        };
        let mut plans = Vec::new();
        for mut policy in policies {
            if let Some(retention) = &instead {
                policy.retention = retention.clone();
            }
            plans.push(self.plan_of(&policy).await?);
        }
        Ok(plans)
    }

    async fn plan_of(&self, policy: &Policy) -> Result<PolicyPlan> {
        let points = self.store().points_of(policy.id.as_str()).await?;
        let frozen = self.frozen(policy, &points).await?;
        let facts: Vec<PointFacts> = points.iter().map(facts).collect();
        let freeze = match &frozen {
            Some(why) => Freeze::Frozen(why.clone()),
            None => Freeze::No,
        };
        let thinned: Option<Timestamp> =
            self.store().value(&thinned_key(policy.id.as_str())).await?;
        let mut plan = retention::plan(
            &facts,
            &policy.retention,
            self.clock().now(),
            &self.settings().zone.rules(),
            &freeze,
        );
        let is_new = |point: &&RestorePoint| {
            point.is_good() && thinned.is_some_and(|thinned| thinned < point.created_at)
        };
        plan.new = points.iter().filter(is_new).count();
        Ok(PolicyPlan {
            policy: policy.id.to_string(),
            points,
            plan,
            frozen,
        })
    }

    /// Why nothing of a policy is removed: a source seems to have lost something, it has missed two periods, or the last
    /// drill failed.
    pub(super) async fn frozen(
        &self,
        policy: &Policy,
        points: &[RestorePoint],
    ) -> Result<Option<String>> {
        if points.is_empty() {
            return Ok(None);
        }
        // What is made of full backups goes by all of them: its copies may be all that is left of what they have lost.
        let of = match policy.kind {
            PolicyKind::Full => vec![policy.id.to_string()],
            PolicyKind::Export | PolicyKind::Archive => self.full_policies().await?,
        };
        for id in &of {
            let newest = self.store().points_newest_of(id, 1).await?;
            if let Some(newest) = newest.first()
                && let Some(loss) = open_loss(newest, policy, points)
            {
                return Ok(Some(format!(
                    "source {} seems to have lost something in {}: {}; `bellctl backup accept` takes it as it is",
                    loss.source,
                    newest.resource_name(),
                    loss.message
                )));
            }
        }
        if let Some(why) = self.failed_drill(policy, points).await? {
            return Ok(Some(why));
        }
        if let Some(damage) = points.first().and_then(|newest| newest.damage.as_ref()) {
            return Ok(Some(format!(
                "its newest restore point was found damaged at {}: {}",
                damage.at, damage.what
            )));
        }
        let newest = points.iter().find(|point| point.is_good());
        let newest = newest.map(|point| point.frozen_at);
        if policy.is_scheduled()
            && self.missed_two(policy, newest.unwrap_or(Timestamp::UNIX_EPOCH))?
        {
            return Ok(Some(match newest {
                None => "no good restore point of the policy is there".to_owned(),
                Some(newest) => {
                    format!("two periods have passed without a good restore point since {newest}")
                }
            }));
        }
        Ok(None)
    }

    /// The last drill of a policy that has failed, or that of a full backup which its copies are made of: they may be all
    /// that is left of that. What could not be tried ends nothing. What ends it is told.
    async fn failed_drill(
        &self,
        policy: &Policy,
        points: &[RestorePoint],
    ) -> Result<Option<String>> {
        let mut of = vec![policy.clone()];
        if policy.kind != PolicyKind::Full {
            // One that is held for now, or lacks something for now, has not come back either.
            let others = self.store().policies().await?.into_iter();
            of.extend(others.filter(|other| other.kind == PolicyKind::Full && other.enabled));
        }
        for drilled in &of {
            for level in [Level::Drill, Level::Database] {
                let id = drilled.id.as_str();
                let last = self.store().evidence_judged(level, id).await?;
                let Some(last) = last.filter(|last| last.finding == Finding::Failed) else {
                    continue;
                };
                let (whose, or) = match drilled.id == policy.id {
                    true => (String::new(), ""),
                    false => (
                        format!(" of {}", drilled.resource_name()),
                        ", or the policy is disabled",
                    ),
                };
                if drilled.id != policy.id
                    && !holds_any(points, &self.sources_of(&last, drilled).await?)
                {
                    continue;
                }
                return Ok(Some(format!(
                    "the last drill failed{whose}, at {}: {}; this ends once one passes (`bellctl backup verify`){or}",
                    last.at, last.message
                )));
            }
        }
        Ok(None)
    }

    /// Sources of the point that evidence is of; those of its policy today, where the point does not tell.
    async fn sources_of(&self, evidence: &Evidence, policy: &Policy) -> Result<Vec<String>> {
        let point = match evidence.point {
            Some(id) => match self.store().point(id).await {
                Err(Error::NotFound { .. }) => None,
                point => Some(point?),
            },
            None => None,
        };
        let sources = point.map_or_else(Vec::new, |point| point.sources);
        Ok(match sources.is_empty() {
            true => policy.sources.clone(),
            false => sources.into_iter().map(|source| source.name).collect(),
        })
    }

    async fn full_policies(&self) -> Result<Vec<String>> {
        let policies = self.store().policies().await?;
        let full = policies
            .into_iter()
            .filter(|policy| policy.kind == PolicyKind::Full);
        Ok(full.map(|policy| policy.id.to_string()).collect())
    }

    /// Whether two slots of a policy's schedule have passed since an instant, and their work could be done by now.
    ///
    /// # Errors
    /// Where its schedule cannot be read.
    pub fn missed_two(&self, policy: &Policy, since: Timestamp) -> Result<bool> {
        self.slots_since(policy, since, 2)
    }

    /// Whether so many slots of a policy's schedule lie after an instant, and before now.
    ///
    /// # Errors
    /// Where its schedule cannot be read.
    pub fn slots_since(&self, policy: &Policy, since: Timestamp, count: usize) -> Result<bool> {
        let now = self.clock().now();
        let schedule = Schedule::parse(
            &policy.schedule,
            policy.task()?.as_str(),
            self.settings().zone.name(),
        )?;
        // What a clock that was ahead has stamped says nothing of when it was.
        let believed = since.duration_since(now) <= AHEAD;
        let since = if believed { since } else { Timestamp::MIN };
        let from = since.max(now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN));
        // The slot at which the newest was made lies just before it.
        Ok(count <= schedule.slots(from, just_before(now)).take(count).count())
    }

    /// Whether a point is older than two periods of what makes such points.
    pub(super) async fn is_stale(&self, point: &RestorePoint) -> Result<bool> {
        let policies = self.store().policies().await?;
        let mut scheduled = policies.iter().filter(|policy| {
            policy.kind == PolicyKind::Full
                && policy.is_scheduled()
                && self.standing((*policy).clone()).state == PolicyState::Active
        });
        let mut any = false;
        for policy in scheduled.by_ref() {
            any = true;
            if !self.missed_two(policy, point.frozen_at)? {
                return Ok(false);
            }
        }
        let age = self.clock().now().duration_since(point.frozen_at);
        Ok(any || UNSCHEDULED < age || age < -AHEAD)
    }

    /// Keeps a point whatever retention says, for a reason; or, without one, lets it go again.
    ///
    /// # Errors
    /// [`Error::Conflict`] `REMOVED`; [`Error::NotFound`].
    pub async fn pin(
        &self,
        who: &Caller,
        id: Uuid,
        reason: Option<&str>,
        remember: Option<Remember<'_, RestorePoint>>,
    ) -> Result<RestorePoint> {
        let mut tx = self.store().begin().await?;
        let mut point = tx.point_locked(id).await?;
        point.expect_there()?;
        point.pin = reason.map(|reason| Pin {
            principal: who.principal.clone(),
            reason: reason.to_owned(),
            at: tx.now(),
        });
        tx.point_put(&point).await?;
        tx.keep(who, remember, &point).await?;
        tx.commit().await?;
        Ok(point)
    }
}

/// What the newest point of a full backup has lost, where that concerns a policy: of what is made of it, each that holds
/// the source, or does not say what it holds.
fn open_loss<'a>(
    newest: &'a RestorePoint,
    policy: &Policy,
    points: &[RestorePoint],
) -> Option<&'a Loss> {
    let holds = |loss: &Loss| {
        let of = std::slice::from_ref(&loss.source);
        policy.kind == PolicyKind::Full || holds_any(points, of)
    };
    newest.open_losses().iter().find(|loss| holds(loss))
}

/// Whether a point holds one of these sources, or does not say what it holds.
fn holds_any(points: &[RestorePoint], sources: &[String]) -> bool {
    points.iter().any(|point| {
        let mut held = point.sources.iter();
        point.sources.is_empty() || held.any(|source| sources.contains(&source.name))
    })
}

/// Under which it is kept when points of a policy were last removed.
pub(super) fn thinned_key(policy: &str) -> String {
    format!("backup_thinned:{policy}")
}

fn facts(point: &RestorePoint) -> PointFacts {
    PointFacts {
        id: point.id,
        frozen_at: point.frozen_at,
        state: point.state,
        verified: point.verified_at.is_some(),
        drilled: point.drilled_at.is_some(),
        damaged: point.damage.is_some(),
        pinned: point
            .pin
            .as_ref()
            .map(|pin| format!("{}: {}", pin.principal, pin.reason)),
        // Whoever uses one holds the repository's lease, and nothing is removed meanwhile.
        in_use: false,
    }
}

/// Points that go by these plans, and why each.
pub(super) fn going(plans: &[PolicyPlan], confirmed: bool) -> Vec<(RestorePoint, String)> {
    plans
        .iter()
        .filter(|plan| may_be_done(plan, confirmed))
        .flat_map(PolicyPlan::removed)
        .map(|(point, why)| (point.clone(), why))
        .collect()
}

/// Whether a plan may be done: much goes only where somebody has confirmed it.
pub(super) fn may_be_done(plan: &PolicyPlan, confirmed: bool) -> bool {
    confirmed || !plan.needs_confirmation()
}
