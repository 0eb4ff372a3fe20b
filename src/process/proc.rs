//! Processes as `/proc` shows them: who lives, below whom, and how all below one are ended.

use std::{fmt, fs, thread, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::{clock::Stopwatch, config::Masker};

/// Between two looks at what was killed.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Processes that are named in a list.
const NAMED_MAX: usize = 10;
/// Characters of a command line that are shown.
const LINE_MAX: usize = 120;

/// A process, told apart from others that had or will have its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub id: i32,
    /// Clock ticks after boot at which it started.
    pub started: u64,
}

/// Processes that live, the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Living {
    /// Numbers and command lines, at most 10.
    pub named: Vec<(i32, String)>,
    /// How many there are in all; those that `/proc` does not show are one.
    pub count: usize,
}

/// A row of the table of processes.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) process: Process,
    parent: i32,
    pub(super) group: i32,
}

impl Process {
    /// The process of that number, unless it has ended and only waits to be asked how.
    pub fn of(id: i32) -> Option<Self> {
        row(id).map(|row| row.process)
    }

    /// This process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id().cast_signed())
    }

    pub fn lives(&self) -> bool {
        Self::of(self.id).as_ref() == Some(self)
    }
}

impl Living {
    /// With their command lines, in which the masker's secrets are masked.
    pub(super) fn of(processes: &[Process], masker: &Masker) -> Self {
        Self::named_by(processes, |id| command_line(id, masker))
    }

    /// With the names of their programs alone: nobody here knows what is secret in their command lines.
    pub(super) fn by_program(processes: &[Process]) -> Self {
        Self::named_by(processes, |id| shown(&program(id)))
    }

    fn named_by(processes: &[Process], name: impl Fn(i32) -> String) -> Self {
        let named = processes.iter().take(NAMED_MAX);
        Self {
            named: named
                .map(|process| (process.id, name(process.id)))
                .collect(),
            count: processes.len(),
        }
    }

    /// Something that lives, and that `/proc` does not show: it is another user's, and hidden.
    pub(super) fn unseen() -> Self {
        Self {
            named: Vec::new(),
            count: 1,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Living {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (id, line)) in self.named.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{id} ({line})")?;
        }
        match self.count.saturating_sub(self.named.len()) {
            0 => Ok(()),
            1 if self.named.is_empty() => f.write_str("1 process that cannot be seen"),
            more => write!(f, " and {more} more"),
        }
    }
}

/// All processes that have not ended.
pub(super) fn table() -> Vec<Row> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(row)
        .collect()
}

/// The processes below one that have not ended, however deep.
pub(super) fn below(root: i32) -> Vec<Process> {
    below_in(&table(), root)
}

fn below_in(table: &[Row], root: i32) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for row in table.iter().filter(|row| row.parent == parent) {
            parents.push(row.process.id);
            found.push(row.process.clone());
        }
    }
    found
}

/// Kills what `living` finds until it finds nothing; answers what is left after so long. `between` is done before each
/// look.
pub(super) fn end_all(
    within: Duration,
    mut between: impl FnMut(),
    living: impl Fn() -> Vec<Process>,
) -> Vec<Process> {
    let stopwatch = Stopwatch::start();
    loop {
        between();
        let found = living();
        if found.is_empty() || within <= stopwatch.elapsed() {
            return found;
        }
        signal_all(&found, Signal::SIGKILL);
        thread::sleep(LOOK_AGAIN);
    }
}

pub(super) fn signal_all(processes: &[Process], signal: Signal) {
    for process in processes {
        // It may have ended, or be another user's: who looks again sees that.
        let _ = kill(Pid::from_raw(process.id), signal);
    }
}

fn row(id: i32) -> Option<Row> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything. Fields 3, 4 and 5 are state, parent and group, 22 is the start.
    let rest = stat.rsplit_once(") ")?.1;
    let mut fields = rest.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    Some(Row {
        process: Process { id, started },
        parent,
        group,
    })
}

/// The arguments of a process, for people. They are masked while they are whole: the beginning of a secret is none.
fn command_line(id: i32, masker: &Masker) -> String {
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let line = line.trim_end_matches('\0').replace('\0', " ");
    match line.is_empty() {
        true => shown(&program(id)),
        false => shown(&masker.text(&line)),
    }
}

/// What the kernel calls a process by.
fn program(id: i32) -> String {
    fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default()
}

fn shown(line: &str) -> String {
    let seen = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = line.trim_end().chars().take(LINE_MAX).map(seen).collect();
    if line.trim_end().chars().count() > LINE_MAX {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_however_deep() {
        let row = |id, parent| Row {
            process: Process { id, started: 1 },
            parent,
            group: id,
        };
        let table = [row(2, 1), row(3, 2), row(4, 3), row(5, 1), row(6, 2)];
        let mut found: Vec<i32> = below_in(&table, 2)
            .iter()
            .map(|process| process.id)
            .collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4, 6]);
    }

    #[test]
    fn what_lives_is_named_up_to_a_bound() {
        let own = Process::own().unwrap();
        let living = Living::of(&vec![own.clone(); 12], &Masker::default());
        assert_eq!((living.named.len(), living.count), (10, 12));
        let unseen = Living::unseen();
        assert!(!unseen.is_empty());
        assert_eq!(unseen.to_string(), "1 process that cannot be seen");
        let told = living.to_string();
        assert!(
            told.starts_with(&own.id.to_string()) && told.ends_with(" and 2 more"),
            "{told}"
        );
    }

    #[test]
    fn a_secret_in_a_command_line_is_masked_before_it_is_cut() {
        // Its first characters would be the last that are shown.
        let secret = "s3cr3t ".repeat(30).trim_end().to_owned();
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "echo; read -r _", &"x".repeat(80), &secret]);
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Its arguments are there a moment after its start.
        let mut said = [0; 1];
        let out = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(out, &mut said).unwrap();
        let process = Process::of(child.id().cast_signed()).unwrap();
        let masker = Masker::new([secret.as_str()]);
        let told = Living::of(std::slice::from_ref(&process), &masker).to_string();
        let by_program = Living::by_program(&[process]).to_string();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(told.ends_with("x ***)"), "{told}");
        assert!(by_program.ends_with("(sh)"), "{by_program}");
    }
}
