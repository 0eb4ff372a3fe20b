//! The configuration file, which a lost machine comes back with: once as it is, and once as it may leave an encrypted
//! repository, without secrets.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};

use super::{
    repository::Source,
    work::{blocking, new_file},
};
use crate::{
    config::without_secrets,
    domain::backup::manifest::{FileError, SnapshotPath},
};

/// Where both forms of it lie in a snapshot.
pub(super) const ROOT: &str = "/configuration";
/// As it is.
const WHOLE: &str = "/configuration/watchbell.toml";
/// And without secrets.
const BARE: &str = "/configuration/without-secrets.toml";
/// More than any has.
const BYTES_MAX: u64 = 16 << 20;

/// What of the configuration is stored.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    pub(super) sources: Vec<Source>,
    pub(super) missing: Vec<FileError>,
}

/// Copies the file into the staging directory, as it is now.
pub(super) async fn staged(file: &Path, staging: &Path) -> anyhow::Result<Configuration> {
    let (file, staging) = (file.to_owned(), staging.to_owned());
    blocking("configuration", move || stage(&file, &staging)).await
}

fn stage(file: &Path, staging: &Path) -> Configuration {
    let mut made = Configuration::default();
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            made.missing.push(FileError {
                path: WHOLE.into(),
                message: format!("{error:#}"),
            });
            return made;
        }
    };
    // An error of what reads it may show a line, and a secret in that.
    let bare = std::str::from_utf8(&text).ok();
    let bare = bare.and_then(|text| without_secrets(text).ok());
    let bare = bare.context(
        "the configuration file cannot be understood as it is now, so that there is none without secrets: see \
         `watchbell config --check`",
    );
    for (to, name, text) in [
        (WHOLE, "watchbell.toml", Ok(text)),
        (BARE, "without-secrets.toml", bare.map(String::into_bytes)),
    ] {
        let from = staging.join(name);
        match text.and_then(|text| write(&from, &text)) {
            Ok(()) => made.sources.push(Source::file(from, to.into())),
            Err(error) => made.missing.push(FileError {
                path: to.into(),
                message: format!("{error:#}"),
            }),
        }
    }
    made
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let about = || format!("could not read the configuration file {}", file.display());
    let opened = fs::File::open(file).with_context(about)?;
    let mut text = Vec::new();
    opened
        .take(BYTES_MAX + 1)
        .read_to_end(&mut text)
        .with_context(about)?;
    if BYTES_MAX < text.len() as u64 {
        bail!("{} has more than {BYTES_MAX} bytes", file.display());
    }
    Ok(text)
}

fn write(file: &Path, text: &[u8]) -> anyhow::Result<()> {
    let about = || format!("could not write {}", file.display());
    let mut new = new_file(file).with_context(about)?;
    new.write_all(text).with_context(about)
}

/// Whether a file is one of both forms.
pub(super) fn is_one(path: &SnapshotPath) -> bool {
    SnapshotPath::from(ROOT).contains(path)
}

/// Whether a file may not leave the repository in clear.
pub(super) fn is_secret(path: &SnapshotPath) -> bool {
    path.as_bytes() == WHOLE.as_bytes()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_without_secrets_is_made_anew_or_missed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("watchbell.toml");
        let staging = folder.path().join("staging");
        fs::create_dir(&staging).unwrap();
        fs::write(&file, "[server]\n# hunter2\n").unwrap();
        let made = stage(&file, &staging);
        assert_eq!((made.sources.len(), made.missing.len()), (2, 0));
        let bare = staging.join("without-secrets.toml");
        let mode = fs::metadata(&bare).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // What is there already is of another time.
        let made = stage(&file, &staging);
        assert_eq!((made.sources.len(), made.missing.len()), (0, 2));
        fs::remove_dir_all(&staging).unwrap();
        fs::create_dir(&staging).unwrap();
        fs::write(&file, "token = \"hunter2\nno = = toml").unwrap();
        let made = stage(&file, &staging);
        assert_eq!(made.sources.len(), 1, "the whole is stored as it is");
        let missing = &made.missing[0];
        assert_eq!(missing.path.as_bytes(), BARE.as_bytes());
        assert!(!missing.message.contains("hunter2"), "{}", missing.message);
        assert!(!bare.exists());
    }
}
