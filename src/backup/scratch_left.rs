//! Scratch databases that killed runs have left in the servers of PostgreSQL.

use jiff::SignedDuration;

use super::{
    Backups,
    scratch_names::Whose,
    scratch_spots::Spot,
    staging::Swept,
    work::{Job, is_stopped},
};
use crate::domain::RunId;

/// Age from which on one goes that bears no note: whoever makes one gives it its note at once. On the server of a source,
/// where copies of an instance look alike, any.
const OLD: SignedDuration = SignedDuration::from_hours(24);

impl Backups {
    /// Drops scratch databases of this server whose run is not under way.
    ///
    /// # Errors
    /// Only that the run was asked to stop, and what keeps this server's own database from answering.
    pub(super) async fn sweep_scratch(&self, job: &Job) -> anyhow::Result<Swept> {
        let mut swept = Swept::default();
        let settings = self.settings();
        let sources = self.made_at().await?;
        let mut spots = vec![Spot::own(settings)];
        for name in &sources {
            spots.push(Spot::of_source(settings, name).await);
        }
        for spot in spots {
            let done = match spot {
                // It is in the configuration no more.
                Ok(None) => continue,
                Ok(Some(spot)) => self.sweep_spot(job, &spot, &mut swept).await,
                Err(error) => Err(error),
            };
            match done {
                Err(error) if is_stopped(&error) => return Err(error),
                Err(error) => swept.failed.push(format!(
                    "not all databases that drills have left are gone: {error:#}"
                )),
                Ok(()) => {}
            }
        }
        Ok(swept)
    }

    async fn sweep_spot(&self, job: &Job, spot: &Spot, swept: &mut Swept) -> anyhow::Result<()> {
        let admin = spot.server.connect().await?;
        let maker = spot.maker(self.settings(), &admin).await?;
        let old = RunId::first_from(self.clock().now().saturating_sub(OLD)?);
        let found = admin.databases(&maker.beginning()).await?;
        // Asked after: whoever had made one until then was under way, and is still, or has ended.
        let mut alive = self.store().runs_under_way().await?;
        alive.push(job.run());
        let may_be_new = spot.source.is_some();
        for (name, note) in found {
            let goes = match maker.whose(&name, note.as_deref()) {
                Whose::Ours(run) if !may_be_new => !alive.contains(&run),
                Whose::Ours(run) | Whose::Unnoted(run) => run.0 < old.0 && !alive.contains(&run),
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
        Ok(())
    }
}
