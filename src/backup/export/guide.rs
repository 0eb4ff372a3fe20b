//! What stands in RESTORE.md: how to get everything back with stock tools.

use std::fmt::Write as _;

use super::LeftOut;
use crate::domain::backup::manifest::Manifest;

/// The text for one export; it may have the configuration file.
pub(super) fn guide(
    manifest: &Manifest,
    has_configuration: bool,
    file: &str,
    left_out: &LeftOut,
) -> String {
    let mut text = format!(
        "# Restoring {file}\n\n\
         An export of Watchbell {} (cluster {}), as of {}. It can be restored without Watchbell.\n\n\
         ## Unpack and check\n\n\
         ```sh\n\
         sha256sum -c {file}.sha256\n\
         mkdir restored && tar --zstd -xf {file} -C restored\n\
         cd restored && sha256sum --quiet -c SHA256SUMS\n\
         ```\n\n\
         Owners, permissions and extended attributes of further sources come back to root alone, by\n\n\
         ```sh\n\
         tar --zstd -xpf {file} -C restored --numeric-owner --xattrs --xattrs-include='*'\n\
         ```\n\n\
         So do devices: for others, tar says that it cannot make them, unpacks everything else, and ends with 2. Files \
         with large holes are in it as sparse files of GNU tar (format 1.0), which bsdtar knows as well. Other programs, \
         such as the tar of BusyBox, do not: they leave such files out without a word, and make some of odd content in \
         folders called GNUSparseFile.0 instead. `sha256sum -c SHA256SUMS` names each file that is missing then, and \
         `find . -name GNUSparseFile.0` such folders: unpack it by GNU tar or bsdtar.\n\n",
        manifest.version, manifest.cluster, manifest.frozen_at
    );
    for source in &manifest.sources {
        let Some(dump) = &source.dump else { continue };
        let path = dump.path.to_text();
        let path = path.trim_start_matches('/');
        let place = if path.starts_with("database/") {
            path.to_owned()
        } else {
            format!("files/{path}")
        };
        let rows: i64 = dump.tables.values().sum();
        let _ = match source.kind.as_str() {
            "postgresql" => writeln!(
                text,
                "## Database {:?} (PostgreSQL {}, {rows} rows)\n\n\
                 ```sh\n\
                 createdb restored\n\
                 pg_restore --exit-on-error --no-owner --no-privileges --dbname=restored {place}\n\
                 ```\n",
                source.name, dump.server_version
            ),
            _ => writeln!(
                text,
                "## Database {:?} (SQLite {}, {rows} rows)\n\n\
                 The file is the database: `sqlite3 {place} 'PRAGMA integrity_check'`.\n",
                source.name, dump.server_version
            ),
        };
    }
    if manifest
        .sources
        .iter()
        .any(|source| source.name == "content")
    {
        text.push_str(
            "## Contents of documents\n\n\
             `files/content/` holds each content once, under its SHA-256: below the first two digits of it. Which document \
             has which stands in the table `documents`, column `content_sha256`.\n\n",
        );
    }
    if manifest
        .sources
        .iter()
        .any(|source| source.name == "database")
    {
        text.push_str(
            "## With Watchbell\n\n\
             Put `files/content` as `contents` into a new data directory, and the database as `watchbell.db` (SQLite), or \
             name it by `--database` (PostgreSQL). The original may still live: stop it first.\n",
        );
    }
    if has_configuration {
        text.push_str(
            "\n`files/configuration/without-secrets.toml` is the server's configuration file of then, without secrets and \
             comments: put both back by hand.\n",
        );
    }
    if !manifest.errors.is_empty() {
        let _ = writeln!(text, "\n## Missing\n");
        for error in manifest.errors.iter().take(1000) {
            let _ = writeln!(text, "- `{}`: {}", error.path, error.message);
        }
    }
    if 0 < left_out.count {
        let _ = writeln!(
            text,
            "\n## Left out\n\n\
             {} sockets, which programs make anew, or devices whose numbers have no room: no archive holds them.\n",
            left_out.count
        );
        for path in &left_out.named {
            let _ = writeln!(text, "- `{path}`");
        }
        let more = left_out.count.saturating_sub(left_out.named.len() as u64);
        if 0 < more {
            let _ = writeln!(text, "- {more} more");
        }
    }
    text
}
