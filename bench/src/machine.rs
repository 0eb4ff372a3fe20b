//! The machine: what it is, how busy it is, and what one process takes of it.

use std::{fs, process::Command, time::Duration};

use anyhow::Context as _;

/// Ticks of /proc in a second: fixed on Linux, whatever the kernel's own are.
const TICKS: f64 = 100.0;

/// Load averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The load average of one minute.
pub(crate) fn load_now() -> f64 {
    let load = load();
    let first = load.split(' ').next().and_then(|first| first.parse().ok());
    first.unwrap_or(0.0)
}

/// The commit that is checked out here, in short.
pub(crate) fn commit() -> Option<String> {
    let asked = Command::new("git")
        .args(["rev-parse", "--short=7", "HEAD"])
        .output()
        .ok()?;
    let said = String::from_utf8(asked.stdout).ok()?;
    let commit = said.trim();
    (asked.status.success() && !commit.is_empty()).then(|| commit.to_owned())
}

/// A line on processor, cores, memory and kernel.
pub(crate) fn describe() -> String {
    let find = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim());
        value.unwrap_or("unknown").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: f64 = find("/proc/meminfo", "MemTotal")
        .split(' ')
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0.0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores ({}), {:.0} GiB, Linux {}",
        find("/proc/cpuinfo", "model name"),
        memory / 1024.0 / 1024.0,
        kernel.trim()
    )
}

/// Resident memory of a process, in MiB.
pub(crate) fn resident_mib(process: u32) -> anyhow::Result<f64> {
    mib_in(&format!("/proc/{process}/status"), "VmRSS:")
}

/// The most that it was.
pub(crate) fn peak_mib(process: u32) -> anyhow::Result<f64> {
    mib_in(&format!("/proc/{process}/status"), "VmHWM:")
}

/// Resident memory, with what it shares with other processes divided among them.
pub(crate) fn proportional_mib(process: u32) -> anyhow::Result<f64> {
    mib_in(&format!("/proc/{process}/smaps_rollup"), "Pss:")
}

fn mib_in(path: &str, key: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("{path} has no {key}"))? / 1024.0)
}

/// Processor time that a process has used, in user and system mode.
///
/// # Errors
/// Also where it has ended, and only its parent has not asked yet: one that is gone takes no time.
pub(crate) fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
    // The name, in parentheses, may hold blanks.
    let after = text.rsplit_once(") ").context("no name")?.1;
    let fields: Vec<&str> = after.split(' ').collect();
    if matches!(fields.first(), None | Some(&("Z" | "X"))) {
        anyhow::bail!("process {process} has ended");
    }
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
    };
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
        anyhow::bail!("{path} has no times");
    };
    Ok(Duration::from_secs_f64((user + system) / TICKS))
}
