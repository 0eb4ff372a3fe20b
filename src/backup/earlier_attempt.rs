//! What an earlier attempt of the same run has stored in full, where the process ended before it was written down.

use std::sync::Arc;

use super::{
    Backups,
    described::point_of,
    full::dumps_of,
    manifests::manifest_in,
    pairs,
    repository::Repository,
    verdicts::is_bad,
    work::{Job, blocking},
};
use crate::{
    domain::backup::{point::RestorePoint, policy::Policy},
    error::is_there,
};

impl Backups {
    /// Forgets what this attempt has stored, which failed: also where whoever has stored it died before it could say so.
    pub(super) async fn forget_attempt(&self, job: &Job, repository: &Arc<dyn Repository>) {
        let of = repository.clone();
        let (run, attempt) = (job.run().to_string(), job.attempt().to_string());
        let listed = blocking("look", move || of.snapshots()).await;
        let snapshots = match listed.and_then(|listed| Ok(listed?)) {
            Ok(snapshots) => snapshots,
            Err(error) => {
                return job.log(format!(
                    "what this attempt may have stored does not count; a cleanup forgets it: {error:#}"
                ));
            }
        };
        let stored = pairs::of_attempt(&snapshots, &run, &attempt);
        let stored: Vec<&str> = stored.iter().map(|one| one.id.0.as_str()).collect();
        if !stored.is_empty() {
            self.forget_failed(job, repository, &stored).await;
        }
    }

    /// A point that an earlier attempt of this run had stored in full, where the process ended before it was written
    /// down: it is read back like any other.
    pub(super) async fn left_by_earlier_attempt(
        &self,
        job: &Job,
        policy: &Policy,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<Option<RestorePoint>> {
        if job.attempt() <= 1 {
            return Ok(None);
        }
        let (of, run, beside) = (repository.clone(), job.run().to_string(), self.beside());
        let found = job
            .step("earlier attempt", 0, move |_| {
                let found = of
                    .snapshots()?
                    .into_iter()
                    .find(|one| pairs::is_manifest(one) && one.word("run") == Some(run.as_str()));
                let Some(found) = found else { return Ok(None) };
                Ok(Some((
                    found.id.clone(),
                    manifest_in(&*of, &found.id, Some(&beside))?,
                )))
            })
            .await?;
        let Some((id, stored)) = found else {
            return Ok(None);
        };
        let (manifest, totals, sha256) = (stored.manifest, stored.totals, stored.sha256);
        let is_another = manifest.policy != policy.id.as_str();
        if is_another || is_there(self.store().point(manifest.point).await)? {
            return Ok(None);
        }
        let mut point = point_of(&manifest, totals, manifest.frozen_at, self.clock().now());
        point.manifest_snapshot = id.0;
        point.manifest_sha256 = sha256;
        let stored = [point.manifest_snapshot.clone(), point.snapshot.clone()];
        let (new, dumps) = (point.clone(), dumps_of(&manifest));
        match self.verify_new(job, point, manifest, repository).await {
            Err(error) if is_bad(&error) => {
                job.log(format!(
                    "what an earlier attempt has stored is of no use: {error:#}"
                ));
                let stored = stored.each_ref().map(String::as_str);
                self.forget_failed(job, repository, &stored).await;
                self.look_at_others_once(job, &new, repository, &dumps)
                    .await?;
                Ok(None)
            }
            verified => Ok(Some(verified?)),
        }
    }
}
