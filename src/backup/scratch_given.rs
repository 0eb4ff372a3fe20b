//! Trying a dump in a database that the configuration gives to drills, where the server may make none: it is refused
//! where anything of anybody else's is in it, and emptied afterwards.

use std::path::Path;

use super::{
    Backups,
    dump::Server,
    scratch::{Scratch, maker, restore_and_judge},
    scratch_names::Maker,
    staging::Swept,
    work::Job,
};
use crate::{
    domain::{RunId, backup::manifest::DumpRecord},
    error::Result,
    store::Elsewhere,
};

/// Restores a dump into the database that is given, and compares it with the manifest.
pub(super) async fn try_in_given(
    backups: &Backups,
    job: &Job,
    (server, name): (&Server, &str),
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let refused = |why: &dyn std::fmt::Display| {
        Scratch::NotPossible(format!(
            "the database {name:?}, which backups.drill_database names, cannot be used: {why}"
        ))
    };
    let (maker, target) = (maker_at(backups, server).await?, server.with_database(name));
    let given = match target.connect().await {
        Ok(given) => given,
        Err(error) => return Ok(refused(&format!("{error:#}"))),
    };
    let taken = take(&given, &maker, job.run()).await;
    let tried = match taken {
        Err(error) => Ok(refused(&error)),
        Ok(Some(why)) => Ok(refused(&why)),
        Ok(None) => {
            let tried = restore_and_judge(backups, job, &target, dump, file).await;
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

/// Asks the server's own database who makes scratch databases here.
async fn maker_at(backups: &Backups, server: &Server) -> anyhow::Result<Maker> {
    let home = server.connect().await?;
    let maker = maker(backups, &home).await;
    home.close().await;
    Ok(maker?)
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
    /// Empties the database that is given to drills of what a killed one has left in it.
    ///
    /// # Errors
    /// Where the database's server does not answer.
    pub(super) async fn sweep_given(&self, job: &Job) -> anyhow::Result<Swept> {
        let mut swept = Swept::default();
        let settings = self.settings();
        let (Some(url), Some(name)) = (&settings.postgres, &settings.config.drill_database) else {
            return Ok(swept);
        };
        let server = Server::of_url(url, None)?;
        let maker = maker_at(self, &server).await?;
        let given = server.with_database(name).connect().await?;
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
        match emptied {
            Ok(false) => {}
            Ok(true) => {
                job.log(format!("what a drill has left in database {name} goes"));
                swept.count += 1;
            }
            Err(error) => swept.failed.push(format!(
                "what a drill has left in database {name} could not be removed: {error}"
            )),
        }
        Ok(swept)
    }
}
