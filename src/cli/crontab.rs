//! `watchbell import-crontab`: reads the files, asks this host for users and its time zone, and hands over what is made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use watchbell::{
    clock::wall_now,
    crontab::{self, CrontabFile, Import, MachineZone, Options},
    host::{self, Question},
};

use super::{
    Failed,
    commands::{accounts, current_user, hand_over, remark, runtime, say},
    crontab_original::{self, Original},
};

/// Flags of `import-crontab`.
#[derive(Debug, clap::Args)]
pub(super) struct ImportCrontab {
    /// The crontabs; - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whether lines have a user column [default: told from the lines, and from the path where they leave it open].
    #[arg(long, value_name = "FORM")]
    form: Option<Form>,
    /// The time zone for the top of the configuration [default: this machine's, as cron has it].
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Whose the lines are that name no user [default: as the file is named in cron's spool, or who imports].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// As what lines are read that are not UTF-8 [default: they are left out].
    #[arg(long, value_name = "ENCODING")]
    encoding: Option<Encoding>,
    /// Print each line beside what will run, as whom, where and when next, and no configuration.
    #[arg(long)]
    explain: bool,
    /// Write the configuration into this file, which must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Once --out is written, comment out in the crontabs what was carried over. A copy of each stays beside it, as
    /// .NAME.before-watchbell, which cron passes over.
    #[arg(long, requires = "out")]
    disable_original: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// A user's own crontab: five fields and a command.
    User,
    /// /etc/crontab and /etc/cron.d: a user before the command.
    System,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Encoding {
    #[value(name = "utf-8")]
    Utf8,
    #[value(name = "windows-1252")]
    Windows1252,
    #[value(name = "latin-1")]
    Latin1,
}

pub(super) fn import(asked: &ImportCrontab) -> Result<(), Failed> {
    check(asked).map_err(Failed::Configuration)?;
    let originals: Vec<Original> = asked
        .files
        .iter()
        .map(|path| read(path))
        .collect::<anyhow::Result<_>>()?;
    let files: Vec<CrontabFile> = originals
        .iter()
        .map(|original| {
            let path = original.path.to_string_lossy();
            CrontabFile::read(path, &original.content, encoding(asked))
        })
        .collect();
    let options = options(asked, &files)?;
    let done = crontab::import(&files, &options);
    if asked.explain {
        say(&crontab::explain(&done, &options, wall_now()))?;
    }
    match &asked.out {
        None if asked.explain => {}
        None => hand_over(done.toml.as_bytes()).context("could not write the configuration")?,
        // A configuration without a task is of no use to anyone.
        Some(_) if done.carried == 0 => {}
        Some(path) => {
            write(path, &done.toml)?;
            remark(&format!("written: {}", path.display()));
        }
    }
    tell(&done, asked.explain);
    if done.carried == 0 {
        return Err(anyhow!(
            "nothing was carried over: each line that says something is named above with its reason"
        )
        .into());
    }
    if asked.disable_original {
        return Ok(disable(&originals, &done)?);
    }
    if !asked.explain {
        for line in &done.take_out {
            remark(line);
        }
    }
    Ok(())
}

fn check(asked: &ImportCrontab) -> anyhow::Result<()> {
    if let Some(zone) = asked.time_zone.as_deref()
        && !crontab::is_time_zone(zone)
    {
        bail!("--time-zone: there is no zone {zone:?}; expected an IANA name such as Europe/Paris");
    }
    if let Some(user) = asked.user.as_deref()
        && !crontab::is_user_name(user)
    {
        bail!("--user: {user:?} is no user's name; expected one such as amy");
    }
    let from_stdin = asked.files.iter().any(|path| path == Path::new("-"));
    if asked.disable_original && from_stdin {
        bail!("--disable-original: standard input cannot be changed; expected files");
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Original> {
    let content = if path == Path::new("-") {
        let mut content = Vec::new();
        let read = std::io::stdin().read_to_end(&mut content);
        read.context("could not read standard input")?;
        content
    } else {
        fs::read(path).with_context(|| format!("could not read {}", path.display()))?
    };
    Ok(Original {
        path: path.to_owned(),
        content,
    })
}

fn encoding(asked: &ImportCrontab) -> crontab::Encoding {
    match asked.encoding {
        None | Some(Encoding::Utf8) => crontab::Encoding::Utf8,
        Some(Encoding::Windows1252) => crontab::Encoding::Windows1252,
        Some(Encoding::Latin1) => crontab::Encoding::Latin1,
    }
}

/// With what this host knows.
fn options(asked: &ImportCrontab, files: &[CrontabFile]) -> anyhow::Result<Options> {
    let machine_zone = match asked.time_zone {
        None => machine_zone(Path::new("/etc"), Path::new("/usr/share/zoneinfo")),
        Some(_) => None,
    };
    let mut options = Options {
        form: match asked.form {
            None => crontab::Form::Auto,
            Some(Form::User) => crontab::Form::User,
            Some(Form::System) => crontab::Form::System,
        },
        time_zone: asked.time_zone.clone(),
        machine_zone,
        user: asked.user.clone(),
        ..Options::default()
    };
    let runtime = runtime()?;
    options.current_user = known(&runtime, "the user who runs this", current_user).flatten();
    let names = crontab::users_named(files, &options);
    let found = known(
        &runtime,
        "the users of the crontabs and their homes",
        || accounts(names),
    );
    options.accounts = BTreeMap::from_iter(found.unwrap_or_default());
    // A question that hangs must not hold the command.
    runtime.shutdown_background();
    Ok(options)
}

/// What the host answers; nothing where it hangs, which is told.
fn known<T: Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    what: &str,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let question = Question::of("the directory of users", format!("looking up {what}"));
    let answer = runtime.block_on(host::ask(question, look));
    answer
        .map_err(|error| remark(&format!("not known here: {error}")))
        .ok()
}

/// The zone in which cron runs, by what the C library reads; the name beside it where that is a copy.
fn machine_zone(etc: &Path, zones: &Path) -> Option<MachineZone> {
    let localtime = etc.join("localtime");
    let zone = |name: &str, from: &Path| {
        crontab::is_time_zone(name).then(|| MachineZone {
            name: name.to_owned(),
            from: from.display().to_string(),
        })
    };
    match fs::read_link(&localtime) {
        Ok(to) => {
            let to = to.to_str()?;
            let (_, name) = to.split_once("/zoneinfo/")?;
            let name = name.strip_prefix("posix/").unwrap_or(name);
            zone(name, &localtime)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Some(MachineZone {
            name: "UTC".to_owned(),
            from: format!("the lack of {}", localtime.display()),
        }),
        Err(_) => {
            let timezone = etc.join("timezone");
            let text = fs::read_to_string(&timezone).ok()?;
            let name = text.trim();
            // Which of the two is right where they differ, nobody knows.
            let named = fs::read(zones.join(name)).ok()?;
            let is_it = fs::read(&localtime).is_ok_and(|used| used == named);
            zone(name, &timezone).filter(|_| is_it)
        }
    }
}

/// Writes a file that nobody else reads: settings of crontabs may be secrets.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let about = || format!("could not write {}", path.display());
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
            "--out: {} is there already, and nothing is written over: name another file, or move that one away",
            path.display()
        ),
        opened => opened.with_context(about)?,
    };
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // What is half there is no configuration.
        let _ = fs::remove_file(path);
    }
    written.with_context(about)?;
    crontab_original::sync_folder(path).with_context(about)
}

/// Tells on standard error what stands in the configuration as well, but for what was explained on standard output.
fn tell(done: &Import, explained: bool) {
    let (left_out, closing) = match explained {
        true => (&[][..], &[][..]),
        false => (&done.left[..], &done.closing[..]),
    };
    for left in left_out {
        remark(&format!(
            "left out: {}:{}: {}",
            left.path.escape_debug(),
            left.line,
            left.reason
        ));
    }
    let (carried, left) = (done.carried, done.left.len());
    let entries = if carried == 1 { "entry" } else { "entries" };
    let lines = if left == 1 { "line" } else { "lines" };
    remark(&format!(
        "{carried} {entries} carried over, {left} {lines} left out"
    ));
    for line in closing {
        remark(line);
    }
}

fn disable(originals: &[Original], done: &Import) -> anyhow::Result<()> {
    let mut lines: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for task in &done.tasks {
        lines.entry(task.file).or_default().insert(task.line);
    }
    let mut failed = Vec::new();
    for (file, lines) in &lines {
        let Some(original) = originals.get(*file) else {
            continue;
        };
        let path = original.path.display();
        match original.disable(lines) {
            Ok(copy) => remark(&format!(
                "{path}: {} lines commented out; as it was: {}",
                lines.len(),
                copy.display()
            )),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    for line in &done.take_out {
        remark(line);
    }
    bail!(
        "the configuration is written, and cron still runs lines of it: {}",
        failed.join("; ")
    )
}
