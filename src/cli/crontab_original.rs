//! Comments lines out of the crontabs that an import has read: each file as a whole or not at all, and no file that has
//! changed since.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use watchbell::crontab::disabled;

/// Copies of one file that are kept.
const COPIES: u32 = 100;
/// cron tells files apart by the second in which they were written.
const SECOND: Duration = Duration::from_secs(1);

/// A file as it was read.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) path: PathBuf,
    pub(super) content: Vec<u8>,
}

impl Original {
    /// Comments these lines out, and returns where the file is as it was.
    ///
    /// # Errors
    /// Where the file has changed since it was read, or could not be replaced: it is then as it was.
    pub(super) fn disable(&self, lines: &BTreeSet<usize>) -> anyhow::Result<PathBuf> {
        let shown = self.path.display();
        let about = || format!("could not comment out lines of {shown}");
        // What a link leads to is changed, and the link stays.
        let real = fs::canonicalize(&self.path).with_context(about)?;
        self.expect_unchanged(&real)?;
        let metadata = fs::metadata(&real).with_context(about)?;
        let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
            bail!("{}: it is no file", about());
        };
        let beside = |ending: &str| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(ending);
            folder.join(hidden)
        };
        let copy = self.copy(&beside, &metadata).with_context(about)?;
        let new = beside(".watchbell-new");
        let replaced = self.replace(&real, &new, &metadata, lines);
        if replaced.is_err() {
            let _ = fs::remove_file(&new);
            let _ = fs::remove_file(&copy);
        }
        replaced.with_context(about)?;
        // The file is another from here on, and the copy stays whatever comes.
        sync_folder(&real).with_context(about)?;
        Ok(copy)
    }

    fn expect_unchanged(&self, real: &Path) -> anyhow::Result<()> {
        let shown = self.path.display();
        let now = fs::read(real).with_context(|| format!("could not read {shown}"))?;
        match now == self.content {
            true => Ok(()),
            false => Err(anyhow!(
                "{shown} has changed since it was read, and stays as it is: take the lines out by hand, or import it \
                 anew into another --out"
            )),
        }
    }

    /// A name that begins with a dot is passed over by every cron.
    fn copy(&self, beside: &dyn Fn(&str) -> PathBuf, of: &Metadata) -> io::Result<PathBuf> {
        for number in 1..=COPIES {
            let copy = match number {
                1 => beside(".before-watchbell"),
                number => beside(&format!(".before-watchbell-{number}")),
            };
            match write_like(&copy, &self.content, of) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    file.sync_all()?;
                    return Ok(copy);
                }
            }
        }
        Err(io::Error::new(
            ErrorKind::AlreadyExists,
            format!("there are {COPIES} copies already"),
        ))
    }

    fn replace(
        &self,
        real: &Path,
        new: &Path,
        of: &Metadata,
        lines: &BTreeSet<usize>,
    ) -> anyhow::Result<()> {
        // What an import that was killed has left.
        match fs::remove_file(new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let file = write_like(new, &disabled(&self.content, lines), of)?;
        let later = of.modified()? + SECOND;
        if file.metadata()?.modified()? < later {
            file.set_modified(later)?;
        }
        file.sync_all()?;
        self.expect_unchanged(real)?;
        Ok(fs::rename(new, real)?)
    }
}

/// A new file with this content, and the owner and mode of another.
fn write_like(path: &Path, content: &[u8], of: &Metadata) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let mut fill = || {
        file.write_all(content)?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (of.uid(), of.gid()) {
            fchown(&file, Some(of.uid()), Some(of.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(of.mode() & 0o7777))
    };
    if let Err(error) = fill() {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

/// Has what was done to a name survive a loss of power.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
