//! Which passwords are in force, and one in the data directory that is not.

use std::{fs, path::PathBuf};

use super::{Backups, repository::RepositoryError, rustic::lower_priority};
use crate::{
    config::SecretSource,
    host::{self, Question},
};

/// Where the password in force is read from, for the figures.
fn shown(source: &SecretSource) -> String {
    match (&source.file, &source.env) {
        (Some(file), _) => file.display().to_string(),
        (None, Some(name)) => format!("variable {name}"),
        (None, None) => String::new(),
    }
}

impl Backups {
    /// Where the password of the repository is read from: a file, or `variable NAME`.
    pub fn password_in_force(&self) -> String {
        shown(&self.settings().config.password)
    }

    /// Where that of the second location is; empty where there is none.
    pub fn archive_password_in_force(&self) -> String {
        let archive = self.settings().config.archive.as_ref();
        archive.map_or_else(String::new, |archive| shown(&archive.password))
    }

    /// Moves aside the password file that lies in the data directory, where the configuration names others and it opens
    /// neither repository: whoever saves it would save what brings nothing back. Says where it is then.
    ///
    /// # Errors
    /// Where no answer comes, or it cannot be renamed.
    pub(super) async fn put_password_aside(&self) -> anyhow::Result<Option<PathBuf>> {
        let settings = self.settings();
        let own = settings.data.join("backups/password");
        let primary = (&settings.config.repository, &settings.config.password);
        let archive = settings.config.archive.as_ref();
        let archive = archive.map(|archive| (&archive.repository, &archive.password));
        let places: Vec<_> = [Some(primary), archive].into_iter().flatten().collect();
        if places
            .iter()
            .any(|(_, password)| password.file.as_ref() == Some(&own))
        {
            return Ok(None);
        }
        let places: Vec<PathBuf> = places.iter().map(|(place, _)| (*place).clone()).collect();
        let (opener, helpers) = (settings.opener.clone(), self.helpers());
        let at = self.clock().now();
        let what = format!("looking whether {} is in use", own.display());
        let question = Question::of_file(&own, what).within(super::readiness::LOOKS_WITHIN);
        host::ask(question, move || {
            lower_priority();
            if !own.exists() {
                return Ok(None);
            }
            let password = SecretSource::of_file(&own).read()?;
            let never = tokio_util::sync::CancellationToken::new();
            for place in places {
                match opener.open(&place, &password, &helpers, &never) {
                    Err(RepositoryError::WrongPassword { .. }) => {}
                    // It is in use, or nobody knows.
                    _ => return Ok(None),
                }
            }
            let aside = own.with_file_name(format!("password.unused-{}", at.as_second()));
            fs::rename(&own, &aside)?;
            Ok(Some(aside))
        })
        .await?
    }
}
