//! Whom files and directories are believed: a file that says who may do what is root's or the server's own user's, and
//! nobody else writes it. As sshd and PostgreSQL do.
//!
//! What is asked about is what was opened, so that nothing can be put in its place between the look and the reading;
//! of a link that is where it leads.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use nix::{
    fcntl::OFlag,
    unistd::{Group, Uid, User, getegid, geteuid},
};

/// Bytes of a secret at the most.
const SECRET_BYTES: u64 = 64 << 10;
const WRITES_GROUP: u32 = 0o020;
const WRITES_OTHERS: u32 = 0o002;
const READS_GROUP: u32 = 0o040;
const READS_OTHERS: u32 = 0o004;
const STICKY: u32 = 0o1000;

/// Opens at once whatever is there: a pipe that nobody writes to would hold its reader for good, and with it the start.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits()).open(path)
}

/// Reads a file that holds a secret; it may block. `what` is what it is called, such as `secret file`.
///
/// # Errors
/// Where it cannot be read, or is not to be trusted: whose it is, its mode, as whom the server runs, and what to do;
/// never what it holds.
pub fn read_secret(path: &Path, what: &str) -> anyhow::Result<String> {
    let about = || format!("could not read the {what} {}", path.display());
    let mut file = match open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let whose = fs::metadata(path).map_or_else(|_| "another".to_owned(), |of| whose(&of));
            return Err(error).with_context(|| {
                format!(
                    "{}: it is {whose}, and watchbell runs as {}",
                    about(),
                    own_user()
                )
            });
        }
        opened => opened.with_context(about)?,
    };
    let of = file.metadata().with_context(about)?;
    if !of.is_file() {
        bail!("{}: it is no file", about());
    }
    let what = format!("the {what} {}", path.display());
    check_owner(&of, &what)?;
    check_writers(&of, &what)?;
    check_readers(&of, &what)?;
    let mut text = String::new();
    let read = (&mut file).take(SECRET_BYTES + 1).read_to_string(&mut text);
    let bytes = read.with_context(about)?;
    if SECRET_BYTES < bytes as u64 {
        bail!("{}: it is larger than {SECRET_BYTES} bytes", about());
    }
    Ok(text)
}

/// Checks a directory whose files are believed, and that nobody can put another in its place.
///
/// # Errors
/// As [`read_secret`], of a directory.
pub fn check_directory(path: &Path, what: &str) -> anyhow::Result<()> {
    let about = || format!("could not look at the {what} {}", path.display());
    let opened = open(path).with_context(about)?;
    let of = opened.metadata().with_context(about)?;
    let what = format!("the {what} {}", path.display());
    check_owner(&of, &what)?;
    check_writers(&of, &what)?;
    let real = fs::canonicalize(path).with_context(about)?;
    for parent in real.ancestors().skip(1) {
        let of = fs::metadata(parent).with_context(about)?;
        if of.mode() & WRITES_OTHERS != 0 && of.mode() & STICKY == 0 {
            bail!(
                "{what} lies below {}, where anyone can put another in its place (it is {}): chmod o-w {}",
                parent.display(),
                whose(&of),
                parent.display()
            );
        }
    }
    Ok(())
}

/// Checks a file that is obeyed, such as the configuration, which names the commands that are run: its owner and
/// writers, not its readers. It may block.
///
/// # Errors
/// As [`read_secret`].
pub fn check_obeyed(path: &Path, what: &str) -> anyhow::Result<()> {
    let about = || format!("could not look at the {what} {}", path.display());
    let opened = open(path).with_context(about)?;
    let of = opened.metadata().with_context(about)?;
    let what = format!("the {what} {}", path.display());
    check_owner(&of, &what)?;
    check_writers(&of, &what)
}

/// Reads a file that is no secret. A pipe is refused: it can be read but once, and may hold its reader for good.
///
/// # Errors
/// Where it cannot be read, is a pipe, or is no text.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let mut file = open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        let why = "it is a pipe, which can be read but once; expected a file";
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn check_owner(of: &Metadata, what: &str) -> anyhow::Result<()> {
    if of.uid() == 0 || of.uid() == geteuid().as_raw() {
        return Ok(());
    }
    let own = own_user();
    let right = if geteuid().is_root() {
        own.clone()
    } else {
        format!("{own} or root")
    };
    bail!(
        "{what} is {}, and watchbell runs as {own}: whoever owns it decides what watchbell does; chown it to {right}",
        whose(of)
    )
}

fn check_writers(of: &Metadata, what: &str) -> anyhow::Result<()> {
    // A group of which its owner is the only member, by the custom of giving both one number.
    let private = of.uid() == geteuid().as_raw() && of.gid() == of.uid();
    let by_group = of.mode() & WRITES_GROUP != 0 && !private;
    if by_group || of.mode() & WRITES_OTHERS != 0 {
        bail!(
            "{what} can be written by others: it is {}, and watchbell runs as {}: chmod go-w it",
            whose(of),
            own_user()
        );
    }
    Ok(())
}

/// The group of root's file reads it (`root:watchbell 0640`; systemd's credentials, whose list of who may read shows
/// as the group's), and so does the server's own.
fn check_readers(of: &Metadata, what: &str) -> anyhow::Result<()> {
    let group_is_fine = of.uid() == 0 || of.gid() == getegid().as_raw();
    let by_group = of.mode() & READS_GROUP != 0 && !group_is_fine;
    if by_group || of.mode() & READS_OTHERS != 0 {
        bail!(
            "{what} can be read by others: it is {}, and watchbell runs as {}: chmod 600 it",
            whose(of),
            own_user()
        );
    }
    Ok(())
}

/// Such as `owned by ada:staff, mode 0644`.
fn whose(of: &Metadata) -> String {
    let group = Group::from_gid(of.gid().into()).ok().flatten();
    let group = group.map_or_else(|| of.gid().to_string(), |group| group.name);
    format!(
        "owned by {}:{group}, mode {:04o}",
        user(Uid::from_raw(of.uid())),
        of.mode() & 0o7777
    )
}

fn own_user() -> String {
    user(geteuid())
}

fn user(id: Uid) -> String {
    let found = User::from_uid(id).ok().flatten();
    found.map_or_else(|| id.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    const STRANGER: u32 = 12_345;

    fn secret(mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "hunter2").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn why(path: &Path) -> String {
        format!("{:#}", read_secret(path, "secret file").unwrap_err())
    }

    #[test]
    fn what_others_can_read_or_write_is_refused_and_what_its_own_group_reads_is_not() {
        for mode in [0o600, 0o400, 0o440, 0o640] {
            let (_dir, path) = secret(mode);
            assert_eq!(read_secret(&path, "secret file").unwrap(), "hunter2");
        }
        for (mode, says) in [
            (0o644, "can be read by others"),
            (0o604, "can be read by others"),
            (0o602, "can be written by others"),
        ] {
            let (_dir, path) = secret(mode);
            let why = why(&path);
            let mode = format!("{mode:04o}");
            assert!(why.contains(says) && why.contains(&mode), "{why}");
            assert!(
                why.contains(&own_user()) && !why.contains("hunter2"),
                "{why}"
            );
        }
    }

    #[test]
    fn what_is_another_users_is_refused_also_behind_a_link() {
        if !geteuid().is_root() {
            return;
        }
        let (dir, path) = secret(0o600);
        chown(&path, Some(STRANGER), None).unwrap();
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            let why = why(path);
            assert!(
                why.contains("owned by 12345:") && why.contains("runs as root"),
                "{why}"
            );
        }
        // A directory that someone else made is his, whatever lies in it.
        chown(dir.path(), Some(STRANGER), None).unwrap();
        let why = check_directory(dir.path(), "data directory")
            .unwrap_err()
            .to_string();
        assert!(why.contains("12345") && why.contains("chown"), "{why}");
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let why = why(&pipe);
        assert!(why.contains("it is no file"), "{why}");
        let refused = read_file(&pipe).unwrap_err().to_string();
        assert!(refused.contains("it is a pipe"), "{refused}");
        check_obeyed(&pipe, "configuration file").unwrap();
    }

    #[test]
    fn what_is_obeyed_may_be_read_by_all_and_written_by_its_owner_only() {
        let (_dir, path) = secret(0o644);
        check_obeyed(&path, "configuration file").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let why = check_obeyed(&path, "configuration file").unwrap_err();
        let why = why.to_string();
        assert!(why.contains("can be written by others"), "{why}");
        if geteuid().is_root() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            chown(&path, Some(STRANGER), None).unwrap();
            let why = check_obeyed(&path, "configuration file").unwrap_err();
            let why = why.to_string();
            assert!(
                why.contains("12345") && why.contains("chown it to root"),
                "{why}"
            );
        }
    }

    #[test]
    fn roots_file_may_be_read_by_any_one_group() {
        if !geteuid().is_root() {
            return;
        }
        let (_dir, path) = secret(0o640);
        chown(&path, None, Some(STRANGER)).unwrap();
        assert_eq!(read_secret(&path, "secret file").unwrap(), "hunter2");
    }

    #[test]
    fn a_directory_below_one_that_anyone_writes_is_refused_unless_that_is_sticky() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, data) = (dir.path().join("shared"), dir.path().join("shared/data"));
        fs::create_dir_all(&data).unwrap();
        let set = |mode| fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
        set(0o777);
        let why = check_directory(&data, "data directory")
            .unwrap_err()
            .to_string();
        assert!(why.contains("put another in its place"), "{why}");
        set(0o1777);
        check_directory(&data, "data directory").unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
        let why = check_directory(&data, "data directory")
            .unwrap_err()
            .to_string();
        assert!(why.contains("can be written by others"), "{why}");
    }
}
