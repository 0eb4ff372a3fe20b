//! Resource names: `tasks/{task}` and `tasks/{task}/runs/{run}`.

use crate::{
    domain::{Run, RunId, TaskName},
    error::{Error, Result, Thing},
};

const REASON_MAX: usize = 1000;

/// `tasks/{task}`.
pub(super) fn task(field: &str, name: &str) -> Result<TaskName> {
    let Some(id) = name.strip_prefix("tasks/") else {
        let reason =
            format!("{name:?} given; expected tasks/NAME, such as tasks/backup-daily-full");
        return Err(Error::invalid(field, reason));
    };
    task_id(field, id)
}

/// `{task}` alone.
pub(super) fn task_id(field: &str, id: &str) -> Result<TaskName> {
    id.parse().map_err(|error: Error| error.of_field(field))
}

/// A run by name; its task is `-` where any will do.
#[derive(Clone, Debug)]
pub(super) struct RunName {
    task: Option<TaskName>,
    pub(super) id: RunId,
}

impl RunName {
    /// Whether this run is the one that is named.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is another task's.
    pub(super) fn check(&self, run: &Run) -> Result<()> {
        match &self.task {
            Some(task) if *task != run.task => Err(Error::not_found(
                Thing::Run,
                format!("tasks/{task}/runs/{}", self.id),
            )),
            _ => Ok(()),
        }
    }
}

/// `tasks/{task}/runs/{run}`.
pub(super) fn run(field: &str, name: &str) -> Result<RunName> {
    let wrong = || {
        let reason = format!("{name:?} given; expected tasks/NAME/runs/UUID, where NAME may be -");
        Error::invalid(field, reason)
    };
    let rest = name.strip_prefix("tasks/").ok_or_else(wrong)?;
    let (task, id) = rest.split_once("/runs/").ok_or_else(wrong)?;
    let task = match task {
        "-" => None,
        task => Some(task_id(field, task)?),
    };
    let id = id.parse().map_err(|_| wrong())?;
    Ok(RunName { task, id })
}

/// What somebody says of why, within bounds.
pub(super) fn reason(text: String) -> Result<String> {
    let length = text.chars().count();
    if REASON_MAX < length {
        let what = format!("{length} characters; expected at most {REASON_MAX}");
        return Err(Error::invalid("reason", what));
    }
    without_nul("reason", &text)?;
    Ok(text)
}

/// The same, where one must be given; `what` is what it is of, such as "to be kept".
pub(super) fn reason_for(text: String, what: &str) -> Result<String> {
    let given = reason(text)?;
    match given.trim().is_empty() {
        true => Err(Error::invalid(
            "reason",
            format!("expected why it is {what}"),
        )),
        false => Ok(given),
    }
}

/// PostgreSQL takes no text with a NUL, not even to compare with.
pub(super) fn without_nul(field: &str, text: &str) -> Result<()> {
    match text.contains('\0') {
        true => Err(Error::invalid(field, "it holds a NUL character")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_what_is_none_is_told() {
        assert_eq!(task("name", "tasks/a-b").unwrap().as_str(), "a-b");
        for wrong in ["a-b", "tasks/", "tasks/A", "tasks/-a", "tasks/a/runs/b"] {
            let error = task("name", wrong).unwrap_err().to_string();
            assert!(error.starts_with("invalid name: "), "{error}");
        }
        let id = RunId::new();
        assert_eq!(run("name", &format!("tasks/-/runs/{id}")).unwrap().id, id);
        assert!(run("name", "tasks/a/runs/1").is_err());
    }
}
