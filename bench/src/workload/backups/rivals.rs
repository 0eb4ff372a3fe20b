//! Debian's restic and borg on the same files, in the same minutes, as their users call them.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail};

/// Another program for backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    Restic,
    Borg,
}

/// A repository of a rival, in a folder of its own.
#[derive(Debug)]
pub(super) struct Repository {
    rival: Rival,
    folder: PathBuf,
    archives: usize,
    knows_holes: bool,
}

impl Rival {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Restic => "restic",
            Self::Borg => "borg",
        }
    }

    /// Whether it is installed.
    pub(super) fn is_here(self) -> bool {
        let version = match self {
            Self::Restic => "version",
            Self::Borg => "--version",
        };
        let asked = Command::new(self.name())
            .arg(version)
            .stdout(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// Whether a restore leaves holes where there were some: restic does since 0.15, where it is asked to.
    fn knows_holes(self) -> bool {
        let help = match self {
            Self::Restic => ["restore", "--help"],
            Self::Borg => ["extract", "--help"],
        };
        let asked = Command::new(self.name()).args(help).output();
        asked.is_ok_and(|asked| String::from_utf8_lossy(&asked.stdout).contains("--sparse"))
    }

    pub(super) fn repository(self, folder: PathBuf) -> anyhow::Result<Repository> {
        make(&folder)?;
        let repository = Repository {
            rival: self,
            folder,
            archives: 0,
            knows_holes: self.knows_holes(),
        };
        match self {
            Self::Restic => repository.run(None, ["init"].map(OsStr::new))?,
            Self::Borg => repository.run(
                None,
                ["init", "--encryption=repokey-blake2"].map(OsStr::new),
            )?,
        };
        Ok(repository)
    }
}

impl Repository {
    pub(super) fn rival(&self) -> Rival {
        self.rival
    }

    /// Whether its restores leave holes where there were some.
    pub(super) fn knows_holes(&self) -> bool {
        self.knows_holes
    }

    /// Seconds of a backup of `files`.
    pub(super) fn back_up(&mut self, files: &Path) -> anyhow::Result<f64> {
        self.archives += 1;
        match self.rival {
            Rival::Restic => self.run(None, ["backup".as_ref(), files.as_os_str()]),
            Rival::Borg => {
                let archive = format!("::a{}", self.archives);
                let args = [
                    "create".as_ref(),
                    "--compression=zstd,3".as_ref(),
                    OsStr::new(&archive),
                    files.as_os_str(),
                ];
                self.run(None, args)
            }
        }
    }

    /// Seconds of a check that reads all data.
    pub(super) fn check(&self) -> anyhow::Result<f64> {
        match self.rival {
            Rival::Restic => self.run(None, ["check", "--read-data"].map(OsStr::new)),
            Rival::Borg => self.run(None, ["check", "--verify-data"].map(OsStr::new)),
        }
    }

    /// Seconds of a restore of the newest into a new folder, and of a wait until all of its file system is on the disk: to
    /// that end ours waits before it has succeeded, while a rival has ended once the kernel has it.
    pub(super) fn restore_synced(&self, into: &Path) -> anyhow::Result<f64> {
        let took = self.restore(into)?;
        let began = Instant::now();
        sync(into)?;
        Ok(took + began.elapsed().as_secs_f64())
    }

    /// Seconds of a restore of the newest into a new folder.
    pub(super) fn restore(&self, into: &Path) -> anyhow::Result<f64> {
        make(into)?;
        let sparse = self.knows_holes.then_some(OsStr::new("--sparse"));
        match self.rival {
            Rival::Restic => {
                let args = ["restore", "latest", "--target"].map(OsStr::new);
                let args = args.into_iter().chain([into.as_os_str()]);
                self.run(None, args.chain(sparse))
            }
            Rival::Borg => {
                let archive = format!("::a{}", self.archives);
                let args = [OsStr::new("extract")].into_iter().chain(sparse);
                self.run(Some(into), args.chain([OsStr::new(&archive)]))
            }
        }
    }

    /// Seconds of the program with these arguments, which must end with exit code 0: a warning is none.
    fn run<'a>(
        &self,
        within: Option<&Path>,
        args: impl IntoIterator<Item = &'a OsStr>,
    ) -> anyhow::Result<f64> {
        let args: Vec<OsString> = args.into_iter().map(OsStr::to_os_string).collect();
        let about = || format!("{} {args:?}", self.rival.name());
        let mut command = Command::new(self.rival.name());
        command
            .args(&args)
            .env("RESTIC_REPOSITORY", self.folder.join("repository"))
            .env("RESTIC_PASSWORD", "bench")
            .env("RESTIC_CACHE_DIR", self.folder.join("cache"))
            .env("BORG_REPO", self.folder.join("repository"))
            .env("BORG_PASSPHRASE", "bench")
            .env("BORG_BASE_DIR", self.folder.join("base"))
            .stdin(Stdio::null());
        if let Some(within) = within {
            command.current_dir(within);
        }
        let began = Instant::now();
        let done = command.output().with_context(about)?;
        let took = began.elapsed().as_secs_f64();
        if done.status.code() != Some(0) {
            bail!(
                "{}: {}: {}{}",
                about(),
                done.status,
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            );
        }
        Ok(took)
    }
}

/// Waits until all that was written to a folder's file system, by whomever, is on the disk.
pub(super) fn sync(folder: &Path) -> anyhow::Result<()> {
    let about = || format!("could not sync the file system of {}", folder.display());
    let opened = fs::File::open(folder).with_context(about)?;
    rustix::fs::syncfs(opened).with_context(about)
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))
}
