//! Names of tasks, runs and documents, as people type them, as resource names.

use std::str::FromStr;

use uuid::Uuid;

/// `tasks/{task}`, from that or from `{task}` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskName(String);

/// `tasks/{task}/runs/{run}`, from that, from `{task}/{run}`, or from the run's UUID alone, for which
/// the task is `-`: whichever it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunName(String);

/// `documents/{number}@{major}.{minor}`, or `documents/{number}` for its newest version; from that, or
/// from what stands behind `documents/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocumentName(String);

/// A version, such as `1.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DocumentVersion {
    pub(crate) major: i32,
    pub(crate) minor: i32,
}

impl TaskName {
    pub(crate) fn into_resource(self) -> String {
        self.0
    }

    /// The name without `tasks/`.
    pub(crate) fn id(&self) -> &str {
        short(&self.0)
    }
}

impl RunName {
    pub(crate) fn into_resource(self) -> String {
        self.0
    }
}

impl DocumentName {
    pub(crate) fn into_resource(self) -> String {
        self.0
    }
}

impl FromStr for DocumentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix("documents/").unwrap_or(text);
        let (number, version) = match id.split_once('@') {
            Some((number, version)) => (number, Some(version)),
            None => (id, None),
        };
        // The rest of the rule is the server's, which can also say what was meant.
        let named = !number.is_empty() && !number.contains(|c: char| c == '/' || c.is_whitespace());
        if !named || version.is_some_and(|version| parts(version).is_none()) {
            return Err(
                "expected a document such as `SOP-2026-0001`, `SOP-2026-0001@1.0` or \
                 `documents/SOP-2026-0001@1.0`"
                    .to_owned(),
            );
        }
        Ok(Self(format!("documents/{id}")))
    }
}

impl FromStr for DocumentVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // 0.0 means on the wire that none is given.
        match parts(text) {
            Some((major, minor)) if (major, minor) != (0, 0) => Ok(Self { major, minor }),
            _ => Err("expected a version such as `1.0`, and not 0.0".to_owned()),
        }
    }
}

fn parts(version: &str) -> Option<(i32, i32)> {
    let (major, minor) = version.split_once('.')?;
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    Some((number(major)?, number(minor)?))
}

impl FromStr for TaskName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix("tasks/").unwrap_or(text);
        // The rest of the rule is the server's, which can also say what was meant.
        if id.is_empty() || id.contains('/') || id.contains(char::is_whitespace) {
            return Err(
                "expected a task such as `backup-daily` or `tasks/backup-daily`".to_owned(),
            );
        }
        Ok(Self(format!("tasks/{id}")))
    }
}

impl FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let (task, run) = match parts.as_slice() {
            [run] => ("-", *run),
            [task, run] | [task, "runs", run] | ["tasks", task, "runs", run] => (*task, *run),
            _ => return Err(expected_run()),
        };
        if Uuid::parse_str(run).is_err() || task.is_empty() {
            return Err(expected_run());
        }
        Ok(Self(format!("tasks/{task}/runs/{run}")))
    }
}

/// The last word of a resource name, which is enough for people where the rest is known.
pub(crate) fn short(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

/// `{task}/{run}`: what people can paste back.
pub(crate) fn short_run(name: &str) -> String {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["tasks", task, "runs", run] => format!("{task}/{run}"),
        _ => name.to_owned(),
    }
}

fn expected_run() -> String {
    "expected a run such as `backup-daily/0197…`, `tasks/backup-daily/runs/0197…`, or its UUID alone"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "01977c5e-0000-7000-8000-000000000001";

    #[test]
    fn a_task_is_named_with_or_without_its_collection() {
        for text in ["backup-daily", "tasks/backup-daily"] {
            let name: TaskName = text.parse().unwrap();
            assert_eq!(name.id(), "backup-daily");
            assert_eq!(name.into_resource(), "tasks/backup-daily");
        }
    }

    #[test]
    fn what_cannot_be_a_task_is_refused() {
        for text in ["", "tasks/", "a/b", "tasks/a/runs/b", "a b"] {
            assert!(text.parse::<TaskName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_run_is_named_in_full_in_short_or_by_its_uuid() {
        let full = format!("tasks/a/runs/{RUN}");
        for text in [full.clone(), format!("a/{RUN}"), format!("a/runs/{RUN}")] {
            assert_eq!(text.parse::<RunName>().unwrap().into_resource(), full);
        }
        let bare: RunName = RUN.parse().unwrap();
        assert_eq!(bare.into_resource(), format!("tasks/-/runs/{RUN}"));
    }

    #[test]
    fn what_cannot_be_a_run_is_refused() {
        for text in ["", "a", "a/b", "tasks/a/runs/", "x/tasks/a/runs/b"] {
            assert!(text.parse::<RunName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_document_is_named_with_or_without_its_collection_and_version() {
        for (text, name) in [
            ("SOP-1", "documents/SOP-1"),
            ("documents/SOP-1", "documents/SOP-1"),
            ("SOP-1@2.10", "documents/SOP-1@2.10"),
            ("documents/SOP-1@0.1", "documents/SOP-1@0.1"),
        ] {
            assert_eq!(text.parse::<DocumentName>().unwrap().into_resource(), name);
        }
        for text in [
            "",
            "@1.0",
            "documents/",
            "a/b",
            "a b",
            "a@",
            "a@1",
            "a@1.x",
            "a@+1.0",
        ] {
            assert!(text.parse::<DocumentName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_version_has_two_parts() {
        let version: DocumentVersion = "2.10".parse().unwrap();
        assert_eq!((version.major, version.minor), (2, 10));
        for text in [
            "",
            "2",
            "2.",
            ".1",
            "2.1.0",
            "v2.1",
            "-1.0",
            "0.0",
            "9999999999.0",
        ] {
            assert!(text.parse::<DocumentVersion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn short_names_can_be_pasted_back() {
        let full = format!("tasks/a/runs/{RUN}");
        let again: RunName = short_run(&full).parse().unwrap();
        assert_eq!(again.into_resource(), full);
    }
}
