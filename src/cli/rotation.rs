//! `watchbell backup rotate-password`: another password for the repository of backups, or for the archive.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, bail};
use watchbell::{
    backup::{
        repository::RepositoryError,
        rustic::{Newer, Rotated, Rustic},
    },
    config::{Config, SecretSource, replace},
};

use super::{Failed, RotatePassword, commands};

pub(super) fn rotate(args: &RotatePassword) -> Result<(), Failed> {
    let config = Config::load(&args.common.flags()).map_err(Failed::Configuration)?;
    commands::outlive_hangups(&commands::runtime()?);
    let (line, rotated) = rotated(&config, args)?;
    commands::say(&line)?;
    if 0 < rotated.left {
        commands::remark(&format!(
            "{} keys of a rotation that was broken off before this one are removed",
            rotated.left
        ));
    }
    if 0 < rotated.others {
        commands::remark(&format!(
            "{} further keys open the repository: `restic key list` shows them, and `restic key remove` takes one away",
            rotated.others
        ));
    }
    commands::remark(&format!(
        "a running server takes it with its next run; keep a copy of it elsewhere, and remove {}",
        args.to.display()
    ));
    Ok(())
}

/// What is to be told, and what was done.
fn rotated(config: &Config, args: &RotatePassword) -> anyhow::Result<(String, Rotated)> {
    let backups = &config.backups;
    let (place, source) = match (args.archive, &backups.archive) {
        (false, _) => (&backups.repository, &backups.password),
        (true, Some(archive)) => (&archive.repository, &archive.password),
        (true, None) => bail!("the configuration has no second location, [backups.archive]"),
    };
    let Some(in_force) = &source.file else {
        bail!(
            "the password comes from a variable of the environment, which cannot be rewritten from here: name a file in \
             the configuration, or use `restic key passwd`"
        );
    };
    let other = match (args.archive, &backups.archive) {
        (true, _) => Some(&backups.password),
        (false, archive) => archive.as_ref().map(|archive| &archive.password),
    };
    let other = other.and_then(|other| other.file.as_ref());
    if other.is_some_and(|other| is_same_file(other, in_force)) {
        bail!(
            "{} holds the password of the other location, too, which nothing would open any more: give each a file of its \
             own first, such as by a copy that the configuration names",
            in_force.display()
        );
    }
    let new = SecretSource::of_file(&args.to);
    let (old, new) = (source.read()?, new.read()?);
    let about = || format!("could not rotate the password of {}", place.display());
    let line = format!(
        "{} opens by the new password, which is in {}; the old one opens it no more\n",
        place.display(),
        in_force.display()
    );
    let newer = match args.confirm {
        true => Newer::Removed,
        false => Newer::Refused,
    };
    if old.expose() == new.expose() {
        // It may have been killed between the file and the key.
        let ended = Rustic::end_rotation(place, new.expose(), newer).with_context(about)?;
        if 0 < ended.left {
            return Ok((line, ended));
        }
        bail!(
            "{} holds the password that is in force already",
            args.to.display()
        );
    }
    let switch = || {
        let line = format!("{}\n", new.expose());
        replace(in_force, &line).map_err(|error| RepositoryError::Other {
            what: format!(
                "{error:#}; the repository opens by the old password as before, and by the new one, too"
            ),
            source: None,
        })
    };
    let rotated =
        Rustic::rotate(place, old.expose(), new.expose(), newer, switch).with_context(about)?;
    Ok((line, rotated))
}

/// Whether two names lead to one file, by whatever links.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| {
        let of = std::fs::metadata(path).ok()?;
        Some((of.dev(), of.ino()))
    };
    one == other || id(one).is_some_and(|found| id(other) == Some(found))
}
