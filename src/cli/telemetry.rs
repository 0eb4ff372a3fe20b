//! The log of the process.

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt};
use watchbell::config::LogConfig;

pub(super) fn start(config: &LogConfig) -> anyhow::Result<()> {
    // The rounds' scheduler and the SQL driver speak of every tick and statement.
    let quiet = [
        "sqlx=warn",
        "tokio_cron_scheduler=warn",
        "h2=warn",
        "hyper=warn",
        "sea_orm_migration=warn",
    ];
    let mut filter = EnvFilter::try_new(&config.filter).with_context(|| {
        format!(
            "log.filter: {:?} given; expected one such as info or watchbell=debug",
            config.filter
        )
    })?;
    for directive in quiet.into_iter().filter(|directive| {
        let (target, _) = directive.split_once('=').unwrap_or((directive, ""));
        !config.filter.contains(target)
    }) {
        filter = filter.add_directive(directive.parse()?);
    }
    let log = fmt()
        .with_env_filter(filter)
        // It would be told on standard error, by a macro that panics where that cannot be written: on a full disk, in
        // every task that logs.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_target(false);
    if config.json {
        log.json().init();
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init();
    }
    Ok(())
}
