//! What each command does.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use watchbell::{
    app::{self, DataDir, Ports},
    backup,
    clock::{AnchoredClock, SharedClock, wall_now},
    config::{self, Config, DatabaseUrl, Flags},
    crontab::Account,
    door::{self, Bounds},
    engine,
    store::Store,
};

use super::{Failed, telemetry};

type Done = Result<(), Failed>;

const CONFIGURATION: &str = "configuration file";
/// How long threads that block may take to end once the server has.
const LAST_THREADS: std::time::Duration = std::time::Duration::from_secs(5);

/// The configuration as a server is to obey it. All other commands make no backup, and need none of its sources.
fn load_to_serve(flags: &Flags) -> Result<Config, Failed> {
    let config = Config::load(flags).map_err(Failed::Configuration)?;
    let fits = config.expect_no_own_places();
    fits.map_err(Failed::Configuration)?;
    Ok(config)
}

pub(super) fn serve(flags: &Flags) -> Done {
    config::keep_heaps_few();
    let config = load_to_serve(flags)?;
    telemetry::start(&config.log).map_err(Failed::Configuration)?;
    let ports = ports();
    if let Some(file) = &config.file {
        config::trust::check_obeyed(file, CONFIGURATION).map_err(Failed::Configuration)?;
    }
    app::check(&config, &ports).map_err(Failed::Configuration)?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let listener = door::listen(config.listen).with_context(|| {
            format!(
                "could not listen on {}: see which process has the port, or pass another --listen",
                config.listen
            )
        });
        let listener = listener.map_err(Failed::Address)?;
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(obey_signals(stop.clone(), cut.clone()));
        tokio::spawn(pass_over_signals());
        let served = app::serve(config, ports, listener, stop, cut).await;
        served.map_err(|error| match error.is::<engine::MissingConfiguration>() {
            true => Failed::Configuration(error),
            false => Failed::Other(error),
        })
    });
    // A disk that does not answer holds a thread, which must not hold the process.
    runtime.shutdown_timeout(LAST_THREADS);
    served
}

pub(super) fn config(flags: &Flags) -> Done {
    say(&config::explain(flags).map_err(Failed::Configuration)?)?;
    let config = load_to_serve(flags)?;
    app::check(&config, &ports()).map_err(Failed::Configuration)?;
    Ok(())
}

pub(super) fn check_config(flags: &Flags, strict: bool) -> Done {
    let config = load_to_serve(flags)?;
    let mut misfits = app::misfits(&config, &ports()).map_err(Failed::Configuration)?;
    // Who looks may be another than who serves, as in a CI.
    let file = config.file.as_ref();
    let doubt = file.and_then(|file| config::trust::check_obeyed(file, CONFIGURATION).err());
    misfits.extend(doubt.map(|doubt| doubt.to_string()));
    for misfit in &misfits {
        remark(&format!("warning: {misfit}"));
    }
    match misfits.len() {
        0 => say("the configuration fits\n"),
        count if strict => Err(anyhow::anyhow!("this host lacks {count} of what it needs").into()),
        count => say(&format!(
            "the configuration is right; this host lacks {count} of what it needs\n"
        )),
    }
}

/// The data directory, and SQLite's file, as long as what is returned is held: no server is at work on them meanwhile.
fn alone(config: &Config) -> anyhow::Result<DataDir> {
    let exclusive = matches!(config.database, DatabaseUrl::Sqlite(_));
    let mut data = DataDir::open(&config.data, exclusive)?;
    if let DatabaseUrl::Sqlite(file) = &config.database {
        data.hold_database(file)?;
    }
    Ok(data)
}

pub(super) fn migrate(flags: &Flags) -> Done {
    let config = Config::load(flags).map_err(Failed::Configuration)?;
    telemetry::start(&config.log).map_err(Failed::Configuration)?;
    runtime()?.block_on(async {
        let _data = alone(&config)?;
        let store = Store::connect(&app::location(&config), clock()).await?;
        let steps = store.migrate().await?;
        if steps.is_empty() {
            return say("the schema is up to date\n");
        }
        for step in steps {
            say(&format!("taken: {step}\n"))?;
        }
        Ok(())
    })
}

pub(super) fn vacuum(flags: &Flags) -> Done {
    let config = Config::load(flags).map_err(Failed::Configuration)?;
    telemetry::start(&config.log).map_err(Failed::Configuration)?;
    runtime()?.block_on(async {
        let _data = alone(&config)?;
        let store = Store::open_existing(&app::location(&config), clock()).await?;
        let (before, after) = store.vacuum().await?;
        store.close().await;
        let mib = |bytes: i64| bytes as f64 / f64::from(1 << 20);
        say(&format!(
            "the database's file had {:.1} MiB, and has {:.1} MiB\n",
            mib(before),
            mib(after)
        ))
    })
}

pub(super) fn audit_slots(flags: &Flags) -> Done {
    let config = Config::load(flags).map_err(Failed::Configuration)?;
    runtime()?.block_on(async {
        let clock = clock();
        let store = Store::open_existing(&app::location(&config), clock.clone()).await?;
        let zone = &config.time_zone;
        let audit = engine::audit(&store, zone, clock.now(), config.audit_grace).await;
        let audit = audit.context("could not read the ledger")?;
        let mut findings = 0;
        for (task, found) in &audit.tasks {
            for finding in found {
                findings += 1;
                say(&format!(
                    "tasks/{task}: {}: {}\n",
                    finding.kind, finding.message
                ))?;
            }
        }
        say(&audit.uncompared.to_string())?;
        let left = match audit.uncompared.rows() {
            0 => String::new(),
            rows => format!(", {rows} rows of them not compared"),
        };
        say(&format!(
            "{} tasks, {} ledger rows, {} slots audited{left}: {findings} findings\n",
            audit.task_count, audit.row_count, audit.slot_count
        ))?;
        if 0 < findings {
            Err(Failed::Findings)
        } else {
            Ok(())
        }
    })
}

/// The users of these names that this host knows, with their homes. Blocks, also for long where a
/// directory of users or a home is away.
pub(super) fn accounts(names: impl IntoIterator<Item = String>) -> Vec<(String, Account)> {
    let found = names.into_iter().filter_map(|name| {
        let user = nix::unistd::User::from_name(&name).ok().flatten()?;
        let home = user.dir.to_str()?.to_owned();
        let is_there = user.dir.is_dir();
        Some((name, Account { home, is_there }))
    });
    found.collect()
}

/// The name of the user who runs this.
pub(super) fn current_user() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok().flatten().map(|user| user.name)
}

pub(super) fn helper(step: &str) -> Done {
    let order = || {
        let mut order = Vec::new();
        let read = std::io::stdin().read_to_end(&mut order);
        read.context("could not read the order")?;
        Ok(order)
    };
    if let Some(answer) = backup::help(step, order)? {
        hand_over(&answer).context("could not write the answer")?;
    }
    Ok(())
}

/// Writes data to standard output: all of it, or it is an error, also where the reader has gone.
pub(super) fn hand_over(data: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(data)?;
    stdout.flush()
}

/// A remark on standard error. Nobody can be told that it is closed or full.
pub(super) fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Shows something on standard output. A reader that has gone, such as `head`, has read enough: the command goes on,
/// and exits with the code that it would have had.
pub(super) fn say(text: &str) -> Done {
    match hand_over(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error)
                .context("could not write the output")
                .into())
        }
        _ => Ok(()),
    }
}

pub(super) fn ports() -> Ports {
    Ports {
        clock: clock(),
        program: config::own_program(),
        repositories: Arc::new(backup::Directories),
        kinds: |registry| registry,
        probes: Vec::new(),
        bounds: Bounds::default(),
    }
}

fn clock() -> SharedClock {
    Arc::new(AnchoredClock::at(wall_now()))
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.context("could not start the runtime")
}

/// The first signal stops in order, the second at once.
async fn obey_signals(stop: CancellationToken, cut: CancellationToken) {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        warn!("signals cannot be heard: end this process by SIGKILL");
        return;
    };
    for token in [stop, cut] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    }
}

/// Has this process go on where its terminal goes, and where restic asks by a SIGHUP whether it lives, as `restic unlock`
/// does of whoever holds a lock.
pub(super) fn outlive_hangups(runtime: &tokio::runtime::Runtime) {
    let _entered = runtime.enter();
    if let Err(error) = signal(SignalKind::hangup()) {
        warn!(%error, "a SIGHUP would end this process");
    }
}

/// Signals that mean "read your files again" to other servers, and would end this one without stopping in order.
async fn pass_over_signals() {
    let kinds = [
        (SignalKind::hangup(), "SIGHUP"),
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ];
    let waits = kinds.into_iter().map(|(kind, name)| async move {
        let Ok(mut heard) = signal(kind) else {
            warn!("{name} cannot be heard, and would end this process at once");
            return;
        };
        while heard.recv().await.is_some() {
            warn!(
                "{name}: there is nothing to reload while the server runs; it goes on. \
                 A changed configuration is read by a restart: SIGTERM stops it in order. \
                 `restic unlock` asks by a SIGHUP whether it lives"
            );
        }
    });
    futures_util::future::join_all(waits).await;
}
