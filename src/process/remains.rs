//! What is left of something that was started, where its launcher is no more: found by the launcher's number, by a
//! cgroup, by a process group, or by variables that everything it started has inherited.

use std::{fs, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::{
    cgroup,
    proc::{self, Process},
};

/// How long what is killed gets to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How to find all that a launcher has started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    pub launcher: Process,
    /// The program itself, which leads a process group, once that is known.
    pub leader: Option<Process>,
    pub cgroup: Option<PathBuf>,
    /// `NAME=value`, which together stand in no other environment.
    pub marks: Vec<String>,
}

impl Remains {
    /// Ends all of it; says whether there was something. Blocks for up to 10 s.
    ///
    /// # Errors
    /// Where something is still there.
    pub fn end(&self) -> anyhow::Result<bool> {
        let before = self.living();
        if before.is_empty() {
            return Ok(false);
        }
        if let Some(path) = &self.cgroup {
            cgroup::kill(path);
        }
        // The launcher last: what is below it stays findable.
        let above_none = || {
            let mut living = self.living();
            if 1 < living.len() {
                living.retain(|process| *process != self.launcher);
            }
            living
        };
        let left = proc::end_all(GONE_WITHIN, || {}, above_none);
        if left.is_empty() {
            return Ok(true);
        }
        proc::signal_all(&left, Signal::SIGKILL);
        anyhow::bail!(
            "these were killed and are still there: {}",
            proc::Living::by_program(&left)
        )
    }

    /// Kills all but the launcher, which tells what that has come to; says whether all that is seen has gone. Blocks for
    /// up to 5 s.
    pub fn end_program(&self) -> bool {
        let below = || {
            let mut living = self.living();
            living.retain(|process| *process != self.launcher);
            living
        };
        proc::end_all(GONE_WITHIN, || {}, below).is_empty()
    }

    fn living(&self) -> Vec<Process> {
        let table = proc::table();
        let own = std::process::id().cast_signed();
        let mut found: Vec<Process> = Vec::new();
        if self.launcher.lives() {
            found.push(self.launcher.clone());
            found.extend(proc::below(self.launcher.id));
        }
        // A number that another process has by now is the number of another's group.
        let group = self
            .leader
            .as_ref()
            .filter(|leader| Process::of(leader.id).is_none_or(|now| now == **leader));
        for row in table {
            let of_group = group.is_some_and(|leader| {
                row.group == leader.id && leader.started <= row.process.started
            });
            if row.process.id != own && (of_group || self.marks_of(row.process.id)) {
                found.push(row.process);
            }
        }
        found.sort_by_key(|process| process.id);
        found.dedup();
        found
    }

    fn marks_of(&self, id: i32) -> bool {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let has = |mark: &String| {
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        };
        !self.marks.is_empty() && self.marks.iter().all(has)
    }
}
