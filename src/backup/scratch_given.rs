//! Trying a dump in a database that the configuration gives to drills, where the server may make none: it is refused
//! where anything of anybody else's is in it, and emptied afterwards.

use std::path::Path;

use anyhow::Context as _;

use super::{
    Backups,
    scratch::{Loading, Scratch, restore_and_judge},
    scratch_names::Maker,
    scratch_spots::Spot,
    staging::Swept,
    work::{Job, is_stopped},
};
use crate::{
    config::SourceConfig,
    domain::{RunId, backup::manifest::DumpRecord},
    error::Result,
    store::Elsewhere,
};

/// Restores a dump into the database that is given, and compares it with the manifest. `home`: a connection to the one
/// that its URL names.
pub(super) async fn try_in_given(
    backups: &Backups,
    job: &Job,
    (spot, home, name): (&Spot, &Elsewhere, &str),
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let refused = |why: &dyn std::fmt::Display| {
        Scratch::NotPossible(format!(
            "the database {name:?}, which {} names, cannot be used: {why}",
            spot.setting
        ))
    };
    if home.name().await? == name {
        return Ok(refused(&"it is what is backed up"));
    }
    let maker = spot.maker(backups.settings(), home).await?;
    let target = spot.server.with_database(name);
    let given = match target.connect().await {
        Ok(given) => given,
        Err(error) => return Ok(refused(&format!("{error:#}"))),
    };
    let taken = take(&given, &maker, job.run()).await;
    let tried = match taken {
        Err(error) => Ok(refused(&error)),
        Ok(Some(why)) => Ok(refused(&why)),
        Ok(None) => {
            let tried =
                restore_and_judge(backups, job, &target, dump, (file, Loading::ToCount)).await;
            // Whatever came of it.
            if let Err(error) = given.empty_given().await {
                job.log(format!(
                    "database {name} could not be emptied; the next drill or cleanup will: {error}"
                ));
            }
            tried
        }
    };
    given.close().await;
    tried
}

/// Takes the database for a drill; says why not, where that is so.
async fn take(given: &Elsewhere, maker: &Maker, run: RunId) -> Result<Option<String>> {
    if !given.lock_given().await? {
        return Ok(Some("another drill is in it".to_owned()));
    }
    match given.note_given().await? {
        // Of a drill whose process was killed.
        Some(note) if maker.made(&note) => given.empty_given().await?,
        Some(_) => {
            return Ok(Some(
                "a drill of another server has left it full".to_owned(),
            ));
        }
        None => {}
    }
    if let Some(first) = given.first_given().await? {
        return Ok(Some(format!("it is not empty, but holds {first}")));
    }
    given.take_given(&maker.note(run)).await?;
    Ok(None)
}

impl Backups {
    /// Empties the databases that are given to drills of what killed ones have left in them.
    ///
    /// # Errors
    /// Only that the run was asked to stop.
    pub(super) async fn sweep_given(&self, job: &Job) -> anyhow::Result<Swept> {
        let mut swept = Swept::default();
        let settings = self.settings();
        let mut spots = vec![Spot::own(settings)];
        for (name, source) in &settings.config.sources {
            // What drills are given nothing of is not asked, nor its password.
            let gives = matches!(
                source,
                SourceConfig::Postgres {
                    drill_database: Some(_),
                    ..
                }
            );
            if gives {
                spots.push(Spot::of_source(settings, name).await);
            }
        }
        for spot in spots {
            let emptied = match spot {
                Ok(Some(Spot { given: None, .. }) | None) => continue,
                Ok(Some(spot)) => self.empty_left(job, &spot).await,
                Err(error) => Err(error),
            };
            match emptied {
                Ok(None) => {}
                Ok(Some(name)) => {
                    job.log(format!("what a drill has left in database {name} goes"));
                    swept.count += 1;
                }
                Err(error) if is_stopped(&error) => return Err(error),
                Err(error) => swept.failed.push(format!("{error:#}")),
            }
        }
        Ok(swept)
    }

    /// Says the database's name where something was left in it.
    async fn empty_left(&self, job: &Job, spot: &Spot) -> anyhow::Result<Option<String>> {
        let Some(name) = &spot.given else {
            return Ok(None);
        };
        let about = || format!("what a drill has left in database {name} could not be removed");
        let home = spot.server.connect().await.with_context(about)?;
        let maker = spot.maker(self.settings(), &home).await;
        home.close().await;
        let maker = maker.with_context(about)?;
        let target = spot.server.with_database(name);
        let given = target.connect().await.with_context(about)?;
        let emptied = async {
            let left = given.lock_given().await?
                && given
                    .note_given()
                    .await?
                    .is_some_and(|note| maker.made(&note));
            if left && !job.dry_run() {
                given.empty_given().await?;
            }
            Ok::<_, crate::error::Error>(left)
        };
        let emptied = emptied.await;
        given.close().await;
        let left = emptied.with_context(about)?;
        Ok(left.then(|| name.clone()))
    }
}
