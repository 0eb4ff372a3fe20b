//! Scratch databases that killed runs have left in the database's server.

use jiff::SignedDuration;

use super::{
    Backups, dump::Server, scratch::maker, scratch_names::Whose, staging::Swept, work::Job,
};
use crate::domain::RunId;

/// Age from which on one goes that bears no note: whoever makes one gives it its note at once.
const OLD: SignedDuration = SignedDuration::from_hours(24);

impl Backups {
    /// Drops scratch databases of this server whose run is not under way.
    ///
    /// # Errors
    /// Where the database's server does not answer.
    pub(super) async fn sweep_scratch(&self, job: &Job, alive: &[RunId]) -> anyhow::Result<Swept> {
        let mut swept = Swept::default();
        let Some(url) = &self.settings().postgres else {
            return Ok(swept);
        };
        let admin = Server::of_url(url, None)?.connect().await?;
        let maker = maker(self, &admin).await?;
        let old = RunId::first_from(self.clock().now().saturating_sub(OLD)?);
        for (name, note) in admin.databases(&maker.beginning()).await? {
            let goes = match maker.whose(&name, note.as_deref()) {
                Whose::Ours(run) => !alive.contains(&run),
                Whose::Unnoted(run) => run.0 < old.0 && !alive.contains(&run),
                Whose::Others => {
                    job.log(format!(
                        "database {name} is called as those of drills are, and is another's: it stays"
                    ));
                    false
                }
            };
            if !goes {
                continue;
            }
            if !job.dry_run()
                && let Err(error) = admin.drop_database(&name).await
            {
                let told =
                    format!("database {name}, left by a drill, could not be dropped: {error}");
                job.log(&told);
                swept.failed.push(told);
                continue;
            }
            job.log(format!("database {name} was left by a drill, and goes"));
            swept.count += 1;
        }
        admin.close().await;
        Ok(swept)
    }
}
