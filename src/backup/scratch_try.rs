//! Trying a dump as a drill does: in a scratch database, or in the one that is given; on the server's own PostgreSQL,
//! or on that of the dump's source.

mod said;

use std::path::Path;

use anyhow::bail;

use super::{
    Backups,
    dump::major_of,
    scratch::{Loading, Scratch, drop_scratch, make_anew, restore_and_judge, try_sqlite},
    scratch_given::try_in_given,
    scratch_spots::Spot,
    work::{Job, is_stopped},
};
use crate::{
    domain::backup::{
        manifest::{DumpRecord, SourceRecord},
        policy::OWN_DATABASE,
    },
    error::Error,
    store::Elsewhere,
};

/// Restores a dump that lies in a file, and compares it with the manifest.
pub(super) async fn try_dump(
    backups: &Backups,
    job: &Job,
    source: &SourceRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let Some(dump) = &source.dump else {
        bail!("source {:?} has no dump", source.name);
    };
    match source.kind.as_str() {
        "sqlite" => try_sqlite(job, dump, file).await,
        "postgresql" => try_postgres(backups, job, &source.name, dump, file).await,
        other => Ok(Scratch::NotPossible(format!(
            "a dump of kind {other} cannot be tried here"
        ))),
    }
}

async fn try_postgres(
    backups: &Backups,
    job: &Job,
    source: &str,
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let settings = backups.settings();
    let mut refused = Vec::new();
    let of_source = Spot::of_source(settings, source).await;
    let of_source = of_source.unwrap_or_else(|error| {
        refused.push(format!("{error:#}"));
        None
    });
    let own = match of_source.as_ref().is_some_and(|spot| spot.given.is_some()) {
        // Somebody has said where.
        true => None,
        false => Spot::own(settings)?,
    };
    if own.is_none() && of_source.is_none() && refused.is_empty() {
        refused.push(format!(
            "this server is not on PostgreSQL, and the configuration has no source {source} of it: there is nowhere to \
             restore it"
        ));
    }
    // What another server has dumped may need what that one alone has: the own one can say that it comes back, and not
    // that it does not.
    let is_own = source == OWN_DATABASE;
    for spot in own.into_iter().chain(of_source) {
        let decides = is_own || spot.source.is_some();
        match try_at(backups, job, &spot, dump, file).await {
            Ok(Scratch::NotPossible(why)) => refused.push(why),
            Ok(Scratch::Failed(why)) if !decides => refused.push(format!(
                "it did not come back as it was {}, which is not its own: {why}",
                spot.shown()
            )),
            Err(error) if !decides && !is_stopped(&error) => refused.push(format!(
                "it could not be restored {}, which is not its own: {error:#}",
                spot.shown()
            )),
            tried => return tried,
        }
    }
    Ok(Scratch::NotPossible(refused.join("; ")))
}

/// Tries it on one server; says why it is not the place for it, where that is so.
async fn try_at(
    backups: &Backups,
    job: &Job,
    spot: &Spot,
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let home = match spot.server.connect().await {
        // Its own is never away for long; a source's says nothing of the dump by that.
        Err(error) if spot.source.is_some() => {
            let shown = spot.shown();
            return Ok(Scratch::NotPossible(format!(
                "no scratch database {shown}: {error:#}"
            )));
        }
        home => home?,
    };
    let tried = try_from(backups, job, (spot, &home), dump, file).await;
    home.close().await;
    tried
}

async fn try_from(
    backups: &Backups,
    job: &Job,
    (spot, home): (&Spot, &Elsewhere),
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let version = home.major_version().await?;
    if let Some(why) = too_old(version, &dump.server_version, spot) {
        return Ok(Scratch::NotPossible(why));
    }
    let tried = match &spot.given {
        Some(name) => try_in_given(backups, job, (spot, home, name), dump, file).await,
        None => try_in_made(backups, job, (spot, home), dump, file).await,
    };
    let error = match tried {
        Err(error) if !is_stopped(&error) => error,
        tried => return tried,
    };
    let text = format!("{error:#}");
    if said::is_of_extension(&text) {
        return Ok(Scratch::NotPossible(format!(
            "{text}: install the extension {}, or name an empty database that has it by {}",
            spot.shown(),
            spot.setting
        )));
    }
    match &spot.given {
        // Such as rows of an extension's table, which stay with that.
        Some(name) if said::is_there_already(&text) => Ok(Scratch::NotPossible(format!(
            "{text}: something is in the database {name:?}, which {} names, that its emptying leaves: drop it and make it \
             anew",
            spot.setting
        ))),
        _ => Err(error),
    }
}

async fn try_in_made(
    backups: &Backups,
    job: &Job,
    (spot, home): (&Spot, &Elsewhere),
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    backups.note_scratch(job, spot).await?;
    let maker = spot.maker(backups.settings(), home).await?;
    match make_anew(&maker, job, home).await {
        Ok(name) => {
            let target = spot.server.with_database(&name);
            let tried =
                restore_and_judge(backups, job, &target, dump, (file, Loading::ToCount)).await;
            // Whatever came of it.
            drop_scratch(job, home, &name).await;
            tried
        }
        Err(Error::Denied(why)) => Ok(Scratch::NotPossible(format!(
            "no right to create a database {}: {why}; give the role CREATEDB, or name an empty database by {}",
            spot.shown(),
            spot.setting
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Why a server of this major version is no place for a dump of a server of that version: newer ones say what it does
/// not know, which is no fault of the dump.
fn too_old(server: u32, of: &str, spot: &Spot) -> Option<String> {
    let newer = major_of(of).filter(|of| server < *of)?;
    let remedy = match &spot.source {
        None => {
            "upgrade it, or name an empty database on the source's own server by drill_database of the source"
        }
        Some(_) => "upgrade it",
    };
    Some(format!(
        "what PostgreSQL {newer} has dumped is not tried {}, which is {server}: {remedy}",
        spot.shown()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::dump::Server;

    fn spot(source: Option<&str>) -> Spot {
        Spot {
            server: Server::of_url("postgres://ada@db/bells", None).unwrap(),
            given: None,
            setting: "backups.drill_database".to_owned(),
            source: source.map(str::to_owned),
        }
    }

    #[test]
    fn what_a_newer_server_has_dumped_is_not_tried_on_an_older_one() {
        let own = spot(None);
        for fits in [
            "15.14 (Debian 15.14-0+deb12u1)",
            "14.2",
            "9.6.24",
            "15beta1",
            "",
        ] {
            assert_eq!(too_old(15, fits, &own), None, "{fits:?}");
        }
        for (of, named) in [
            ("16.1", "16"),
            ("17.2 (Debian 17.2-1)", "17"),
            ("100.1", "100"),
        ] {
            let why = too_old(15, of, &own).unwrap();
            assert!(
                why.contains(&format!("PostgreSQL {named} has dumped")),
                "{why}"
            );
            assert!(why.contains("which is 15"), "{why}");
            assert!(why.contains("drill_database"), "{why}");
        }
        let why = too_old(15, "16.1", &spot(Some("crm"))).unwrap();
        assert!(why.contains("source crm"), "{why}");
    }
}
