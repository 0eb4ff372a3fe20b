//! Calls of `bench/peers/install` and `bench/peers/run`, each of which ends in time.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::{Map, Value};
use tokio::process::Command;

use super::metrics::{self, Figures};
use crate::{
    database::{Database, Kind},
    workload::Workload,
};

/// A first one compiles apalis and fetches all the others.
const INSTALL_LIMIT: Duration = Duration::from_secs(30 * 60);
const RUN_LIMIT: Duration = Duration::from_secs(180);
/// For a call that took too long to end what it has started.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Installs peers; their versions.
pub(super) async fn install(
    folder: &Path,
    peers: &[String],
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut install = Command::new(folder.join("install"));
    install.args(peers).stderr(Stdio::inherit());
    let done = bounded(install, INSTALL_LIMIT)
        .await
        .context("the peers could not be installed")?;
    if !done.status.success() {
        bail!("the peers could not be installed: see above; PEERS=… leaves some of them out");
    }
    let line = last_line(&done.stdout).context("install said nothing")?;
    serde_json::from_str(&line).with_context(|| format!("install said {line}"))
}

/// Measures a peer once, with an empty database of its own.
pub(super) async fn measure(
    folder: &Path,
    peer: &str,
    workload: Workload,
    size: usize,
) -> anyhow::Result<Figures> {
    let database = Database::create(Kind::Postgresql).await?;
    let mut run = Command::new(folder.join("run"));
    run.args([peer, &workload.to_string(), &size.to_string()])
        .env("PEER_POSTGRES", database.url())
        .stderr(Stdio::piped());
    let done = bounded(run, RUN_LIMIT).await;
    database.remove().await?;
    let measured = figures(&done?)?;
    if measured.n == 0 {
        bail!("{peer} did nothing");
    }
    for metric in metrics::of(workload) {
        if !measured.values.contains_key(metric.key) {
            bail!("{peer} said nothing of {}", metric.key);
        }
    }
    Ok(measured)
}

/// What a call has said as its last word.
fn figures(done: &Output) -> anyhow::Result<Figures> {
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        eprintln!("{}", said.trim_end());
        let reason = last_line(&done.stderr).unwrap_or_else(|| done.status.to_string());
        bail!("{}", reason.trim_start_matches("run: "));
    }
    let line = last_line(&done.stdout).context("run said nothing")?;
    let said: Map<String, Value> =
        serde_json::from_str(&line).with_context(|| format!("run said {line}"))?;
    let numbers = said
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)));
    Ok(Figures {
        n: said.get("n").and_then(Value::as_u64).context("no n")?,
        values: numbers.collect(),
        note: said
            .get("note")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    })
}

/// Runs a program as a process group of its own, and ends it where it takes longer than it may.
async fn bounded(mut command: Command, limit: Duration) -> anyhow::Result<Output> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| {
            format!(
                "could not start {}",
                command.as_std().get_program().display()
            )
        })?;
    let id = child.id().context("a process that has an id")?;
    let mut group = Group(Some(Pid::from_raw(i32::try_from(id)?)));
    let done = tokio::time::timeout(limit, child.wait_with_output()).await;
    let Ok(done) = done else {
        group.stop().await;
        bail!("did not end within {} s, and was killed", limit.as_secs());
    };
    group.0 = None;
    Ok(done?)
}

/// A process group that is told to end when it is dropped: when the session ends before its time.
struct Group(Option<Pid>);

impl Group {
    /// Asks it to end, then ends it.
    async fn stop(&mut self) {
        let Some(group) = self.0.take() else { return };
        // Nobody is left where these fail.
        let _ = killpg(group, Signal::SIGTERM);
        let asked = tokio::time::Instant::now();
        while asked.elapsed() < STOP_LIMIT && killpg(group, None) != Err(Errno::ESRCH) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let _ = killpg(group, Signal::SIGKILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGTERM);
        }
    }
}

fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    text.lines().last().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stderr(Stdio::piped());
        shell
    }

    #[tokio::test]
    async fn the_last_line_is_the_answer_and_the_last_complaint_the_reason() {
        let minute = Duration::from_secs(60);
        let answer = r#"echo x; echo '{"workload": "burst", "n": 7, "p50_ms": 1.5, "note": "a"}'"#;
        let done = bounded(shell(answer), minute).await.unwrap();
        let said = figures(&done).unwrap();
        assert_eq!((said.n, said.values["p50_ms"], &*said.note), (7, 1.5, "a"));
        let failing = "echo y >&2; echo 'run: it is late' >&2; exit 1";
        let done = bounded(shell(failing), minute).await.unwrap();
        assert_eq!(figures(&done).unwrap_err().to_string(), "it is late");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ended");
        let script = format!(
            "trap 'echo ended >{}; exit 1' TERM; sleep 60 & wait",
            file.display()
        );
        let done = bounded(shell(&script), Duration::from_millis(500)).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains("did not end within"), "{error}");
        assert!(file.exists());
    }
}
