//! That what a point's sources have lost is as it should be: written into the repository beside the point's manifest, so
//! that whoever has nothing but the repository knows it, too.

use anyhow::bail;
use uuid::Uuid;

use super::{
    Backups, Made,
    marker::{self, Mark},
    places::Place,
    work::{Job, Lasting},
};
use crate::{
    domain::backup::{
        PointState, PolicyKind,
        loss::Acceptance,
        point::RestorePoint,
        verdict::{Names, Sound},
    },
    error::{Error, Result},
    store::LeaseMode,
};

/// The kind of marker that says that a point was accepted.
pub(super) const ACCEPTED: &str = "accepted";

impl Backups {
    /// That there is something to accept about a point.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it has lost nothing.
    pub fn expect_losses(&self, point: &RestorePoint) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid("name", what));
        if point.removed_at.is_some() {
            return refuse(format!("{} was removed", point.resource_name()));
        }
        if point.kind != PolicyKind::Full || point.open_losses().is_empty() {
            return refuse(format!(
                "the sources of {} have lost nothing: there is nothing to accept",
                point.resource_name()
            ));
        }
        Ok(())
    }

    /// Accepts what the sources of a point have lost: from now on others are compared with it.
    ///
    /// # Errors
    /// What stands in the way; nothing was accepted then.
    pub async fn accept(&self, job: &Job, id: Uuid) -> anyhow::Result<Made> {
        let point = self.store().point(id).await?;
        if let Err(error) = self.expect_losses(&point) {
            return Err(Lasting(error.to_string()).into());
        }
        if job.dry_run() {
            return Ok(Made::nothing("it could be accepted; nothing was written"));
        }
        let run = self.store().run(job.run()).await?;
        let acceptance = Acceptance {
            principal: run.principal,
            reason: run.request_reason,
            at: self.clock().now(),
        };
        self.lease(job, Place::Primary, LeaseMode::Shared).await?;
        let repository = job
            .wait("open", self.repository(Place::Primary, job.cancel()))
            .await?;
        self.refuse_foreign_locks(job, &repository).await?;
        let cluster = self.settings().cluster.clone();
        let staging = self.settings().config.staging.clone();
        let (says, frozen_at) = (acceptance.clone(), point.frozen_at);
        let of = repository.clone();
        job.step("accept", 0, move |hand| {
            let mark = Mark {
                kind: ACCEPTED,
                point: id,
                frozen_at,
                cluster: &cluster,
                words: Vec::new(),
            };
            marker::write(&*of, &mark, &says, &staging, hand)
        })
        .await?;
        let mut accepted = point.clone();
        accepted.accept(acceptance.clone());
        // That it is partial was said when it was made.
        if accepted.state == PointState::Complete && accepted.damage.is_none() {
            let message = format!("accepted: {}", named(&accepted));
            let names = Names::default();
            self.tell_verdict(job, &accepted, &repository, Sound::Verified, message, names)
                .await?;
        }
        let mut tx = job.begin().await?;
        let mut point = tx.point_locked(id).await?;
        if point.removed_at.is_some() {
            bail!("{} was removed meanwhile", point.resource_name());
        }
        point.accept(acceptance);
        tx.point_put(&point).await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        Ok(Made::worked(format!(
            "{} is accepted: {}",
            point.resource_name(),
            named(&point)
        )))
    }
}

fn named(point: &RestorePoint) -> String {
    let each = point.losses.iter().take(3);
    let each: Vec<String> = each
        .map(|loss| format!("{}: {}", loss.source, loss.message))
        .collect();
    each.join("; ")
}
