//! What came back besides the database, put where the server has it; what is decrypted and of no use any more goes.

use std::{fs, io, path::Path};

use anyhow::Context as _;

/// Contents go where the server has them; what the configuration named besides stays apart. Says what is to be told of it.
///
/// # Errors
/// Where something cannot be put in place.
pub(super) fn put_in_place(data: &Path, staging: &Path) -> anyhow::Result<Vec<String>> {
    let mut remarks = Vec::new();
    let content = staging.join("content");
    let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|there| there.is_dir());
    if is_directory(&content) {
        let place = data.join("contents");
        fs::rename(&content, &place)
            .with_context(|| format!("could not put {} in place", place.display()))?;
    }
    let configuration = staging.join("configuration");
    if is_directory(&configuration) {
        let place = data.join("configuration");
        fs::rename(&configuration, &place)
            .with_context(|| format!("could not put {} in place", place.display()))?;
        remarks.push(format!(
            "the configuration file of then is {}: look through it, and start with it by --config",
            place.join("watchbell.toml").display()
        ));
    }
    let sources = staging.join("sources");
    let done = match is_directory(&sources) {
        true => {
            remarks.push(format!(
                "further sources were restored into {}",
                sources.display()
            ));
            staging.join("database")
        }
        false => staging.to_owned(),
    };
    match fs::remove_dir_all(&done) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => remarks.push(format!(
            "{} holds what was needed to restore the database, decrypted, and could not be removed: {error}; remove it",
            done.display()
        )),
        _ => {}
    }
    Ok(remarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_that_cannot_be_removed_is_told() {
        for with_sources in [false, true] {
            let data = tempfile::tempdir().unwrap();
            let staging = data.path().join("restored");
            fs::create_dir_all(staging.join("content")).unwrap();
            fs::create_dir(staging.join("database")).unwrap();
            if with_sources {
                fs::create_dir(staging.join("sources")).unwrap();
            }
            let remarks = put_in_place(data.path(), &staging).unwrap();
            assert_eq!(remarks.len(), usize::from(with_sources), "{remarks:?}");
            assert!(data.path().join("contents").is_dir());
            assert!(!staging.join("database").exists());
            assert_eq!(staging.exists(), with_sources);
        }
        // No directory, and so nothing that could be removed as one.
        let data = tempfile::tempdir().unwrap();
        let staging = data.path().join("restored");
        fs::create_dir_all(staging.join("sources")).unwrap();
        fs::write(staging.join("database"), "").unwrap();
        let remarks = put_in_place(data.path(), &staging).unwrap();
        assert!(remarks[1].contains("could not be removed"), "{remarks:?}");
    }
}
