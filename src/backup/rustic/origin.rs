//! The process that has taken a lock: of which host, since which start of it, and among whose numbers. A number by itself
//! says nothing: after a start of the host, or in another container of the same name, it is another process's, or nobody's.

use std::{fs, process};

use jiff::{SignedDuration, Timestamp};
use nix::{
    errno::Errno,
    sys::signal::kill,
    unistd::{Pid, gethostname},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{clock::wall_now, domain::backup::table::hex};

/// The namespace of the host itself has this number, whatever the kernel.
const OF_THE_HOST: &str = "pid:[4026531836]";

/// What a lock says of the process that has taken it. The first two are restic's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    #[serde(default)]
    pub(super) hostname: String,
    #[serde(default)]
    pub(super) pid: u32,
    /// Of which start of the kernel.
    #[serde(
        default,
        rename = "watchbell_boot",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) boot: Option<String>,
    /// Among which processes it has its number.
    #[serde(
        default,
        rename = "watchbell_pid_namespace",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) pid_namespace: Option<String>,
    /// On which machine: a hash of its id, which is to stay there.
    #[serde(
        default,
        rename = "watchbell_machine",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) machine: Option<String>,
}

/// This process, as its locks have it, and when the kernel was started.
#[derive(Clone, Debug)]
pub(super) struct Here {
    pub(super) origin: Origin,
    booted: Option<Timestamp>,
    /// Whether there is no process of a number.
    is_gone: fn(u32) -> bool,
}

impl Here {
    pub(super) fn look() -> Self {
        let hostname = gethostname().map(|name| name.to_string_lossy().into_owned());
        let namespace = fs::read_link("/proc/self/ns/pid").ok();
        let machine = line("/etc/machine-id");
        Self {
            origin: Origin {
                hostname: hostname.unwrap_or_default(),
                pid: process::id(),
                boot: line("/proc/sys/kernel/random/boot_id"),
                pid_namespace: namespace.map(|name| name.to_string_lossy().into_owned()),
                machine: machine.map(|id| {
                    let salted = format!("a lock of watchbell on {id}");
                    hex(&Sha256::digest(salted.as_bytes()))
                }),
            },
            booted: line("/proc/uptime").and_then(|uptime| booted(&uptime)),
            is_gone,
        }
    }
}

impl Origin {
    /// Whether the process that has taken a lock then is known to be no more. Where that cannot be told from here, it is
    /// told by the lock's age alone. restic's locks say neither start nor namespace: on a host itself they are judged as
    /// restic does, by the host's name and the number alone.
    pub(super) fn is_over(&self, taken: Timestamp, here: &Here) -> bool {
        let known = &here.origin;
        if self.hostname != known.hostname {
            return false;
        }
        if self.boot.is_none() || self.pid_namespace.is_none() {
            return known.is_of_a_host() && (here.is_gone)(self.pid);
        }
        if self.boot == known.boot {
            return self.pid_namespace == known.pid_namespace && (here.is_gone)(self.pid);
        }
        // Another machine may have that name, and its image that id, where it is a container.
        let is_same_machine = self.machine.is_some() && self.machine == known.machine;
        let are_of_hosts = self.is_of_a_host() && known.is_of_a_host();
        is_same_machine && are_of_hosts && here.booted.is_some_and(|booted| taken < booted)
    }

    fn is_of_a_host(&self) -> bool {
        self.pid_namespace.as_deref() == Some(OF_THE_HOST)
    }
}

/// Whether no process has that number, or one that has taken none of the locks that are looked at: this one.
fn is_gone(pid: u32) -> bool {
    if pid == process::id() {
        return true;
    }
    let Ok(pid) = i32::try_from(pid) else {
        return true;
    };
    0 < pid && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// When the kernel was started, by its seconds since then.
fn booted(uptime: &str) -> Option<Timestamp> {
    let seconds = uptime.split_whitespace().next()?.split('.').next()?;
    let up = SignedDuration::from_secs(seconds.parse().ok()?);
    wall_now().checked_sub(up).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::constant(1_770_000_000, 0);

    fn of(boot: &str, namespace: &str) -> Origin {
        Origin {
            hostname: "office".to_owned(),
            pid: 7,
            boot: Some(boot.to_owned()),
            pid_namespace: Some(namespace.to_owned()),
            machine: Some("m".to_owned()),
        }
    }

    fn here(origin: Origin) -> Here {
        Here {
            origin,
            booted: Some(NOON),
            is_gone: |pid| pid == 7,
        }
    }

    #[test]
    fn a_number_tells_of_a_process_only_among_those_that_are_seen_from_here() {
        let before = NOON - SignedDuration::from_secs(1);
        let after = NOON + SignedDuration::from_secs(1);
        let on_host = here(of("second", OF_THE_HOST));
        let contained = here(of("second", "pid:[4026532000]"));
        assert!(of("second", OF_THE_HOST).is_over(after, &on_host));
        let alive = Origin {
            pid: 8,
            ..of("second", OF_THE_HOST)
        };
        assert!(!alive.is_over(after, &on_host));
        assert!(
            !of("second", "pid:[4026532001]").is_over(after, &contained),
            "another container's processes are not seen"
        );
        assert!(!of("second", "pid:[4026532001]").is_over(after, &on_host));

        assert!(
            alive.is_over(before, &here(of("third", OF_THE_HOST))),
            "whatever has its number now, the host was started since"
        );
        assert!(
            !of("first", OF_THE_HOST).is_over(after, &on_host),
            "another machine of that name has taken it since"
        );
        let elsewhere = Origin {
            machine: Some("n".to_owned()),
            ..of("first", OF_THE_HOST)
        };
        assert!(!elsewhere.is_over(before, &on_host));
        assert!(
            !of("first", "pid:[4026532001]").is_over(before, &contained),
            "two containers of one image have its id"
        );
        let foreign = Origin {
            hostname: "home".to_owned(),
            ..of("second", OF_THE_HOST)
        };
        assert!(!foreign.is_over(after, &on_host));
        let of_restic = Origin {
            hostname: "office".to_owned(),
            pid: 7,
            ..Origin::default()
        };
        assert!(of_restic.is_over(after, &on_host));
        assert!(
            !of_restic.is_over(after, &contained),
            "it may be another container's"
        );
    }

    #[test]
    fn what_is_written_has_the_names_that_restic_reads() {
        let written = serde_json::to_value(of("first", OF_THE_HOST)).unwrap();
        assert_eq!(
            (&written["hostname"], &written["pid"]),
            (&"office".into(), &7.into())
        );
        assert_eq!(written["watchbell_boot"], "first");
        let read: Origin = serde_json::from_str(r#"{"hostname":"office","pid":7}"#).unwrap();
        assert_eq!(read.boot, None);
    }

    #[test]
    fn this_process_is_told_apart() {
        let here = Here::look();
        assert!(here.origin.boot.is_some() && here.origin.pid_namespace.is_some());
        let up = booted("12.34 5.0").unwrap();
        assert!(up < wall_now() && wall_now() < up + SignedDuration::from_secs(60));
    }
}
