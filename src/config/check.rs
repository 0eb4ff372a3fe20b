//! From what was written to what is in force.

use std::{collections::BTreeMap, io, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use super::{
    Config, ContentConfig, DatabaseUrl, HistoryConfig, HttpRequestConfig, LogConfig, ParametersIn,
    backups::one_of, document_types, explain::argument, own_places::OwnPlaces, raw::Raw,
};
use crate::domain::{TaskName, span};

/// What the largest content may be: 1 MiB is a message of an upload.
const CONTENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 40;
/// What the largest answer to a request may be.
const ANSWER_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 40;

pub(super) fn check(raw: &Raw) -> anyhow::Result<Config> {
    let data = std::path::absolute(&raw.data).context("data: expected a path")?;
    if jiff::tz::TimeZone::get(&raw.time_zone).is_err() {
        bail!(
            "time_zone: {:?} is unknown; expected an IANA name such as Europe/Paris",
            raw.time_zone
        );
    }
    if !(1..=10_000).contains(&raw.max_running) {
        bail!(
            "max_running: {} given; expected 1 to 10,000",
            raw.max_running
        );
    }
    if !(16..=1_000_000).contains(&raw.max_connections) {
        bail!(
            "max_connections: {} given; expected 16 to 1,000,000",
            raw.max_connections
        );
    }
    within("lease", raw.lease, 3, 600)?;
    within("shutdown_grace", raw.shutdown_grace, 0, 3600)?;
    within("audit_grace", raw.audit_grace, 1, 86_400)?;
    within(
        "history.requests_keep_for",
        raw.history.requests_keep_for,
        86_400,
        366 * 86_400,
    )?;
    within(
        "history.events_keep_for",
        raw.history.events_keep_for,
        3600,
        366 * 86_400,
    )?;
    within(
        "history.ledger_keep_for",
        raw.history.ledger_keep_for,
        86_400,
        3660 * 86_400,
    )?;
    if let Some(keep_logs_for) = raw.history.keep_logs_for {
        within("history.keep_logs_for", keep_logs_for, 3600, 3660 * 86_400)?;
    }
    if !(1000..=100_000_000).contains(&raw.history.events_keep_count) {
        bail!("history.events_keep_count: expected 1,000 to 100,000,000");
    }
    if !CONTENT_BYTES.contains(&raw.content.max_bytes) {
        bail!(
            "content.max_bytes: {} given; expected {} (1 MiB) to {} (1 TiB)",
            raw.content.max_bytes,
            CONTENT_BYTES.start(),
            CONTENT_BYTES.end()
        );
    }
    within(
        "content.keep_unused_for",
        raw.content.keep_unused_for,
        86_400,
        3660 * 86_400,
    )?;
    let json = match raw.log.format.as_str() {
        "text" => false,
        "json" => true,
        other => bail!("log.format: {other:?} given; expected text or json"),
    };
    check_names("commands", raw.commands.keys())?;
    check_names("http_requests", raw.http_requests.keys())?;
    check_names("secrets", raw.secrets.keys())?;
    check_commands(raw)?;
    check_requests(raw)?;
    let document_types = document_types::check(&raw.document_types)?;
    for (name, source) in &raw.secrets {
        one_of(&format!("secrets.{name}"), source)?;
    }
    let mut tasks = BTreeMap::new();
    for (name, fields) in &raw.tasks {
        let parsed: TaskName = name
            .parse()
            .with_context(|| format!("tasks.{}", name.escape_debug()))?;
        tasks.insert(parsed, fields.clone());
    }
    let backups = raw.backups.check(&data, &raw.secrets)?;
    OwnPlaces::of(&backups).refuse_by_name(&backups)?;
    Ok(Config {
        database: database(&raw.database, &data)?,
        listen: listen(&raw.listen)?,
        backups,
        data,
        time_zone: raw.time_zone.clone(),
        max_running: raw.max_running,
        max_connections: raw.max_connections,
        lease: raw.lease,
        shutdown_grace: raw.shutdown_grace,
        audit_grace: raw.audit_grace,
        bench_kinds: raw.bench_kinds,
        log: LogConfig {
            filter: raw.log.filter.clone(),
            json,
        },
        history: HistoryConfig {
            events_keep_for: raw.history.events_keep_for,
            events_keep_count: raw.history.events_keep_count,
            requests_keep_for: raw.history.requests_keep_for,
            ledger_keep_for: raw.history.ledger_keep_for,
            keep_logs_for: raw.history.keep_logs_for,
        },
        content: ContentConfig {
            max_bytes: raw.content.max_bytes,
            keep_unused_for: raw.content.keep_unused_for,
        },
        document_types,
        health: raw.health.clone(),
        commands: raw.commands.clone(),
        http_requests: raw.http_requests.clone(),
        secrets: raw.secrets.clone(),
        tasks,
        hash: digest(&(
            &raw.tasks,
            &raw.commands,
            &raw.http_requests,
            &raw.backups,
            &raw.time_zone,
        ))?,
        basis: digest(&(
            &raw.commands,
            &raw.http_requests,
            &raw.backups,
            &raw.time_zone,
        ))?,
        file: None,
        without_configuration: false,
        apply_older: false,
    })
}

fn database(text: &str, data: &std::path::Path) -> anyhow::Result<DatabaseUrl> {
    if text == "sqlite" {
        return Ok(DatabaseUrl::Sqlite(data.join("watchbell.db")));
    }
    if let Some(path) = text.strip_prefix("sqlite://") {
        let path = std::path::absolute(PathBuf::from(path)).context("database: expected a path")?;
        return Ok(DatabaseUrl::Sqlite(path));
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(DatabaseUrl::Postgres(text.to_owned()));
    }
    // What was given is not shown: it may hold a password.
    bail!("database: expected sqlite, sqlite:///path/to/file.db or postgres://user@host/database")
}

fn listen(text: &str) -> anyhow::Result<SocketAddr> {
    let text = text.replace("localhost:", "127.0.0.1:");
    let address: SocketAddr = text.parse().with_context(|| {
        format!("listen: {text:?} given; expected an address such as 127.0.0.1:7420")
    })?;
    if !address.ip().is_loopback() {
        bail!(
            "listen: {address} is not loopback; calls carry a token, and without TLS, which this version \
             does not have, anyone on the way could read it: listen on 127.0.0.1 and put a TLS proxy before it"
        );
    }
    Ok(address)
}

/// Names are shown in lists, logs and errors.
fn check_names<'a>(table: &str, names: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    for name in names {
        if name.is_empty() || name.contains(char::is_control) {
            bail!("{table}: {name:?} is no name; expected text without control characters");
        }
    }
    Ok(())
}

fn check_commands(raw: &Raw) -> anyhow::Result<()> {
    for (name, command) in &raw.commands {
        let Some(program) = command.argv.first() else {
            bail!("commands.{name}.argv: expected the program's absolute path and its arguments");
        };
        if !program.starts_with('/') {
            bail!(
                "commands.{name}.argv: {:?} is not an absolute path; no shell and no PATH finds it",
                argument(program)
            );
        }
        command.accepts.check(&format!("commands.{name}.accepts"))?;
        if command.parameters_on_stdin && (command.stdin.is_some() || command.accepts.is_empty()) {
            bail!(
                "commands.{name}.parameters_on_stdin: expected a command that accepts something, and has no \
                 stdin of its own"
            );
        }
        within(
            &format!("commands.{name}.leftovers_for"),
            command.leftovers_for,
            0,
            7 * 86_400,
        )?;
        let parts = command.argv.iter().chain(&command.inherit_environment);
        let pairs = command
            .environment
            .iter()
            .flat_map(|(key, value)| [key, value]);
        if parts.chain(pairs).any(|part| part.contains('\0')) {
            bail!("commands.{name}: a NUL character is in none of argv and environment");
        }
        if let Some(key) = command
            .environment
            .keys()
            .find(|key| key.is_empty() || key.contains('='))
        {
            // What follows the sign is meant as the value, which may be a secret.
            let (start, _) = key.split_once('=').unwrap_or((key, ""));
            bail!(
                "commands.{name}.environment: a name of a variable is neither empty nor holds =; one \
                 begins {start:?}"
            );
        }
    }
    Ok(())
}

fn check_requests(raw: &Raw) -> anyhow::Result<()> {
    for (name, request) in &raw.http_requests {
        if !["http://", "https://"]
            .iter()
            .any(|scheme| request.url.starts_with(scheme))
        {
            bail!("http_requests.{name}.url: expected one that begins with http:// or https://");
        }
        within(
            &format!("http_requests.{name}.timeout"),
            request.timeout,
            1,
            86_400,
        )?;
        if !ANSWER_BYTES.contains(&request.max_answer_bytes) {
            bail!(
                "http_requests.{name}.max_answer_bytes: {} given; expected {} (1 KiB) to {} (1 TiB)",
                request.max_answer_bytes,
                ANSWER_BYTES.start(),
                ANSWER_BYTES.end()
            );
        }
        for (field, ranges) in [
            ("succeed", &request.succeed),
            ("nothing_to_do", &request.nothing_to_do),
            ("retry", &request.retry),
        ] {
            for range in ranges {
                super::status_range(range)
                    .with_context(|| format!("http_requests.{name}.{field}"))?;
            }
        }
        check_accepted(name, request)?;
        for (header, value) in &request.secret_headers {
            if !raw.secrets.contains_key(&value.secret) {
                // What was given is not shown: it may be the secret itself.
                let known: Vec<&str> = raw.secrets.keys().map(String::as_str).collect();
                bail!(
                    "http_requests.{name}.secret_headers.{}.secret: expected the name of a table \
                     of [secrets], of which there are: {}",
                    header.escape_debug(),
                    known.join(", ")
                );
            }
        }
    }
    Ok(())
}

/// What a request accepts, and whether it can be sent as is asked for.
fn check_accepted(name: &str, request: &HttpRequestConfig) -> anyhow::Result<()> {
    request
        .accepts
        .check(&format!("http_requests.{name}.accepts"))?;
    let at = format!("http_requests.{name}.parameters_in");
    let has_secrets = request.accepts.secrets().next().is_some();
    match request.parameters_in {
        _ if request.accepts.is_empty() => {}
        ParametersIn::Body if request.body.is_some() => {
            bail!("{at}: the request has a body of its own; expected \"query\", or no body")
        }
        ParametersIn::Body if ["GET", "HEAD"].contains(&request.method.as_str()) => {
            bail!(
                "{at}: {} has no body; expected \"query\", or another method",
                request.method
            )
        }
        ParametersIn::Query if has_secrets => {
            bail!("{at}: a secret has no place in a URL, which logs show; expected \"body\"")
        }
        _ if has_secrets && request.follow_redirects => bail!(
            "http_requests.{name}.follow_redirects: it and secret parameters exclude each other: the secret \
             would go to wherever the answer points"
        ),
        _ => {}
    }
    Ok(())
}

fn within(name: &str, value: Duration, min: u64, max: u64) -> anyhow::Result<()> {
    let [min, max] = [min, max].map(Duration::from_secs);
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let [value, min, max] = [value, min, max].map(span::format);
    bail!("{name}: {value} given; expected {min} to {max}")
}

/// Of what shapes tasks; the rest may differ between replicas.
fn digest(shape: &impl serde::Serialize) -> anyhow::Result<String> {
    let mut writer = io::BufWriter::new(Digesting(Sha256::new()));
    serde_json::to_writer(&mut writer, shape)?;
    let Digesting(digest) = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    let digest = digest.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A digest of what is written to it: of very many tasks the text is not kept.
struct Digesting(Sha256);

impl io::Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
