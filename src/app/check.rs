//! What a configuration says of itself, and what of it this host does not have.

use anyhow::Context as _;

use super::{
    Ports,
    serve::{launchers, registry},
};
use crate::{backup, config::Config, engine};

/// Checks the configuration's tasks against the kinds there are, before anything is made. What a host may lack today
/// and have tomorrow is no part of it: see [`misfits`].
///
/// # Errors
/// Which task does not fit, which field of it, and what was expected.
pub fn check(config: &Config, ports: &Ports) -> anyhow::Result<()> {
    let registry = registry(config, ports, launchers(ports), None, None);
    engine::check_catalogue(&registry, &config.tasks, &config.time_zone)
        .context("the configuration does not fit")
}

/// What the configuration needs of this host and is not there: programs, users, directories, secrets, the places of
/// backups. Needs neither database nor data directory.
///
/// # Errors
/// As [`check`].
pub fn misfits(config: &Config, ports: &Ports) -> anyhow::Result<Vec<String>> {
    let registry = registry(config, ports, launchers(ports), None, None);
    let mut found = engine::catalogue_misfits(&registry, &config.tasks, &config.time_zone)
        .context("the configuration does not fit")?;
    for (name, source) in &config.secrets {
        if let Err(error) = source.read() {
            found.push(format!("secrets.{name}: {error:#}"));
        }
    }
    let backups = &config.backups;
    let mut places = Vec::new();
    // The first start makes the data directory, and in it the password.
    let is_own = |path: &std::path::Path| path.starts_with(&config.data);
    let password = Some(backups.password.clone());
    let password = password.filter(|source| !source.file.as_deref().is_some_and(is_own));
    if password.is_some() || !is_own(&backups.repository) || config.data.exists() {
        places.push((backups.repository.clone(), password));
    }
    if let Some(archive) = &backups.archive {
        places.push((archive.repository.clone(), Some(archive.password.clone())));
    }
    found.extend(
        backup::check_places(&places)
            .into_iter()
            .map(|why| format!("backups: {why}")),
    );
    Ok(found)
}
