//! PostgreSQL: `pg_dump` in an exported snapshot. Counts and references are read in the same one; the file is hashed
//! while it is written, and then read whole by `pg_restore`. Passwords go by a file of their own, never by arguments.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::{
    Raw,
    server::{Server, passfile},
};
use crate::{
    backup::{
        Backups,
        child::{self, Ended},
        read_back::{Hashing, Told},
        repository::{Hand, Progress},
        work::{Job, new_file},
    },
    process::{Launchers, Order},
};

/// Where Debian puts the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// `pg_dump` and `pg_restore`.
#[derive(Clone, Debug)]
pub(in crate::backup) struct Programs {
    directory: PathBuf,
    launchers: Launchers,
}

impl Programs {
    /// Those of the configuration, or else those that fit a server of this major version; started by the server's own
    /// `program`.
    ///
    /// # Errors
    /// Where there are none.
    pub(in crate::backup) fn find(
        configured: Option<&Path>,
        program: &Path,
        server: u32,
    ) -> anyhow::Result<Self> {
        let mut found = Self::all(configured, program, server)?;
        match found.is_empty() {
            false => Ok(found.remove(0)),
            true => bail!(
                "pg_dump and pg_restore are not here: install PostgreSQL's client programs (Debian: \
                 postgresql-client), or say where they are by backups.pg_bin"
            ),
        }
    }

    /// Those of the configuration, or else all that are here, those first that fit the server best.
    ///
    /// # Errors
    /// Where those of the configuration are not there.
    pub(in crate::backup) fn all(
        configured: Option<&Path>,
        program: &Path,
        server: u32,
    ) -> anyhow::Result<Vec<Self>> {
        let launchers = child::launchers(program);
        let there = |directory: &Path| {
            ["pg_dump", "pg_restore"]
                .iter()
                .all(|program| directory.join(program).is_file())
        };
        if let Some(directory) = configured {
            if !there(directory) {
                bail!(
                    "pg_dump and pg_restore are not in {}, where backups.pg_bin says",
                    directory.display()
                );
            }
            return Ok(vec![Self {
                directory: directory.to_owned(),
                launchers,
            }]);
        }
        let mut versions: Vec<(u32, PathBuf)> = Vec::new();
        for entry in fs::read_dir(DEBIAN).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.parse().ok());
            versions.extend(version.map(|version| (version, entry.path().join("bin"))));
        }
        versions.sort_by_key(|(version, _)| fit(*version, server));
        let others = ["/usr/bin", "/usr/local/bin"].map(PathBuf::from);
        let directories = versions.into_iter().map(|(_, directory)| directory);
        Ok(directories
            .chain(others)
            .filter(|directory| there(directory))
            .map(|directory| Self {
                directory,
                launchers: launchers.clone(),
            })
            .collect())
    }

    /// A program, with nothing of the environment but where its password is.
    pub(in crate::backup) fn order(&self, program: &str, passfile: &Path) -> Order {
        let mut order = Order::of([self.directory.join(program).into_os_string()]);
        order.environment = [
            ("PATH", "/usr/bin:/bin".into()),
            ("LC_ALL", "C.UTF-8".into()),
            ("PGPASSFILE", passfile.as_os_str().to_owned()),
            ("PGCONNECT_TIMEOUT", "10".into()),
            ("PGAPPNAME", "watchbell-backup".into()),
        ]
        .map(|(name, value): (&str, OsString)| (name.into(), value.into()))
        .to_vec();
        order
    }

    /// Runs one to its end.
    ///
    /// # Errors
    /// Those of [`child::run`].
    pub(in crate::backup) fn run(
        &self,
        order: Order,
        into: &mut (dyn Write + Send),
        cancel: &CancellationToken,
    ) -> anyhow::Result<Ended> {
        child::run(&self.launchers, "backup", order, into, cancel)
    }

    /// The major version of `pg_dump`.
    fn version(&self, hand: &Hand) -> anyhow::Result<u32> {
        let mut said = Vec::new();
        let mut order = self.order("pg_dump", Path::new("/dev/null"));
        order.args(["--version"]);
        let ended = self.run(order, &mut said, &hand.cancel)?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let version = said.split_whitespace().find_map(major);
        version.filter(|_| ended.status.success()).with_context(|| {
            format!(
                "{} tells no version: {}",
                self.directory.join("pg_dump").display(),
                said.trim()
            )
        })
    }
}

/// What orders client programs by how they fit a server: its own version, then the nearest newer one, as newer ones say
/// what it does not know; then older ones, which refuse it.
fn fit(client: u32, server: u32) -> (bool, u32) {
    (client < server, client.abs_diff(server))
}

/// The major version in what a server says of its version.
pub(in crate::backup) fn major_of(version: &str) -> Option<u32> {
    version.split_whitespace().next().and_then(major)
}

fn major(text: &str) -> Option<u32> {
    text.split('.').next()?.parse().ok()
}

/// Dumps a database as of one instant.
pub(super) async fn dump(
    backups: &Backups,
    job: &Job,
    server: &Server,
    file: &Path,
) -> anyhow::Result<Raw> {
    let settings = backups.settings();
    let programs = Programs::find(
        settings.config.pg_bin.as_deref(),
        &settings.program,
        server.version().await?,
    )?;
    let frozen = server.connect().await?.freeze().await?;
    let facts = frozen.facts().await?;
    let staging = file
        .parent()
        .context("the dump lies in no directory")?
        .to_owned();
    let (server, snapshot, version) = (
        server.clone(),
        frozen.snapshot.clone(),
        facts.server_version.clone(),
    );
    let file = file.to_owned();
    let dumped = job
        .step("dump", 0, move |hand| {
            let client = programs.version(hand)?;
            if let Some(server) = major_of(&version)
                && client < server
            {
                bail!(
                    "pg_dump is of version {client}, older than the server's {server}: install the client programs of \
                     {server}, or name them by backups.pg_bin"
                );
            }
            let passfile = passfile(&server, &staging)?;
            let dumped = pg_dump(&programs, &server, &snapshot, &passfile, &file, hand);
            drop(fs::remove_file(&passfile));
            let dumped = dumped?;
            pg_restore_reads(&programs, &file, hand)?;
            Ok(dumped)
        })
        .await;
    frozen.thaw().await;
    let (size, sha256) = dumped?;
    Ok(Raw {
        size,
        sha256,
        facts,
    })
}

fn pg_dump(
    programs: &Programs,
    server: &Server,
    snapshot: &str,
    passfile: &Path,
    file: &Path,
    hand: &Hand,
) -> anyhow::Result<(u64, String)> {
    let about = || format!("could not write {}", file.display());
    let opened = new_file(file).with_context(about)?;
    let mut order = programs.order("pg_dump", passfile);
    order
        .args(["--format=custom", "--compress=0", "--no-password"])
        .args([
            format!("--snapshot={snapshot}"),
            format!("--dbname={}", server.url()),
        ]);
    let mut into = Hashing::new(Told {
        into: BufWriter::with_capacity(256 << 10, opened),
        hand,
        done: Progress::default(),
    });
    let ended = programs
        .run(order, &mut into, &hand.cancel)
        .with_context(about)?;
    if !ended.status.success() {
        bail!(
            "pg_dump failed ({}): {}",
            ended.status,
            ended.complaint.trim()
        );
    }
    let (told, sha256, size) = into.into_all();
    let opened: File = told
        .into
        .into_inner()
        .map_err(|error| error.into_error())
        .with_context(about)?;
    opened.sync_all().with_context(about)?;
    Ok((size, sha256))
}

/// Reads the whole file: its list alone would accept one that was cut off.
fn pg_restore_reads(programs: &Programs, file: &Path, hand: &Hand) -> anyhow::Result<()> {
    let mut order = programs.order("pg_restore", Path::new("/dev/null"));
    order.args(["--file=/dev/null".into(), file.as_os_str().to_owned()]);
    let ended = programs.run(order, &mut std::io::sink(), &hand.cancel)?;
    if !ended.status.success() {
        bail!(
            "pg_restore cannot read the dump ({}): {}",
            ended.status,
            ended.complaint.trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_the_servers_own_version_is_taken_then_the_nearest_newer_one() {
        let ordered = |server: u32| {
            let mut clients = vec![13, 15, 16, 17, 18];
            clients.sort_by_key(|client| fit(*client, server));
            clients
        };
        assert_eq!(ordered(15), [15, 16, 17, 18, 13]);
        assert_eq!(ordered(14), [15, 16, 17, 18, 13]);
        assert_eq!(ordered(19), [18, 17, 16, 15, 13]);
    }
}
