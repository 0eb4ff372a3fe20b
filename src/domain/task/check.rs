//! What a specification must keep to, whoever wrote it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{CatchUpMode, DAY, TaskSpec};
use crate::{
    domain::{id::TaskName, schedule::Schedule, span},
    error::{Error, Faults, Result},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Characters of a task's owner.
pub const OWNER_MAX: usize = 256;
const PARAMETERS_MAX: usize = 64 * 1024;

/// Checks the size of a task's or a run's parameters.
///
/// # Errors
/// [`Error::Invalid`] for `parameters`.
pub fn check_parameters(parameters: &Map<String, Value>) -> Result<()> {
    let size = serde_json::to_vec(parameters)
        .map_err(Error::internal)?
        .len();
    if PARAMETERS_MAX < size {
        return Err(Error::invalid(
            "parameters",
            format!("{size} bytes as JSON; expected at most {PARAMETERS_MAX}"),
        ));
    }
    Ok(())
}

impl TaskSpec {
    /// Checks every field but what only the kind can judge, and reads the schedule.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Several`], each with the field's path and what was expected.
    pub fn check(&self, name: &TaskName, default_zone: &str) -> Result<Schedule> {
        let mut faults = Faults::default();
        let mut check = |checked: Result<()>| faults.take(checked).map(drop);
        check(text("description", &self.description, 1000))?;
        check(text("category", &self.category, 100))?;
        check(text("owner", &self.owner, OWNER_MAX))?;
        check(on_one_line("owner", &self.owner))?;
        check(text("icon", &self.icon, 16))?;
        if self.kind.is_empty() {
            let what = "expected the name of a kind, such as command";
            check(Err(Error::invalid("kind", what)))?;
        }
        check(check_parameters(&self.parameters))?;
        for (field, value, min, max) in [
            ("priority", i64::from(self.priority), 0, 9),
            (
                "retry.max_attempts",
                i64::from(self.retry.max_attempts),
                1,
                100,
            ),
            (
                "history.keep_count",
                i64::from(self.history.keep_count),
                1,
                1_000_000,
            ),
        ] {
            check(number(field, value, min, max))?;
        }
        let initial = self.retry.initial_backoff;
        // Where that is wrong itself, it is no bound for another.
        let right = (SECOND / 10..=DAY).contains(&initial);
        let least = if right { initial } else { SECOND / 10 };
        for (field, value, min, max) in [
            ("late_after", Some(self.late_after), SECOND, 7 * DAY),
            (
                "attempt_timeout",
                Some(self.attempt_timeout),
                SECOND,
                7 * DAY,
            ),
            (
                "cancel_grace",
                Some(self.cancel_grace),
                Duration::ZERO,
                10 * MINUTE,
            ),
            (
                "history.keep_for",
                Some(self.history.keep_for),
                HOUR,
                3660 * DAY,
            ),
            ("retry.initial_backoff", Some(initial), SECOND / 10, DAY),
            (
                "retry.max_backoff",
                Some(self.retry.max_backoff),
                least,
                7 * DAY,
            ),
            ("start_deadline", self.start_deadline, SECOND, 366 * DAY),
            ("progress_deadline", self.progress_deadline, SECOND, 7 * DAY),
            ("stale_after", self.stale_after, SECOND, 366 * DAY),
        ] {
            if let Some(value) = value {
                check(within(field, value, min, max))?;
            }
        }
        check(self.check_counts_as_success())?;
        check(self.check_catch_up())?;
        let schedule = Schedule::parse(&self.schedule, name.as_str(), default_zone);
        let schedule = faults.take(schedule)?;
        faults.done_with(schedule)
    }

    fn check_counts_as_success(&self) -> Result<()> {
        let counts = &self.counts_as_success;
        let what = match counts.iter().find(|outcome| outcome.is_full(&[])) {
            Some(other) => format!("{other} always counts; expected [\"partial\"] or nothing"),
            None if 1 < counts.len() => "partial is given twice; expected it once".to_owned(),
            None => return Ok(()),
        };
        Err(Error::invalid("counts_as_success", what))
    }

    fn check_catch_up(&self) -> Result<()> {
        let catch_up = &self.catch_up;
        if catch_up.mode != CatchUpMode::All {
            let mode = catch_up.mode;
            return match (catch_up.window, catch_up.max_count) {
                (None, None) => Ok(()),
                _ => Err(Error::invalid(
                    "catch_up",
                    format!("window and max_count belong to mode all, not {mode}"),
                )),
            };
        }
        let mut faults = Faults::default();
        faults.take(match catch_up.window {
            Some(window) => within("catch_up.window", window, SECOND, 366 * DAY),
            None => Err(Error::invalid(
                "catch_up.window",
                "mode all needs a window, such as 1d: how far back missed slots are run",
            )),
        })?;
        faults.take(match catch_up.max_count {
            Some(count) => number("catch_up.max_count", i64::from(count), 1, 1000),
            None => Err(Error::invalid(
                "catch_up.max_count",
                "mode all needs a maximum, such as 10: how many missed slots are run",
            )),
        })?;
        faults.done()
    }
}

fn text(field: &str, value: &str, max: usize) -> Result<()> {
    let length = value.chars().count();
    if max < length {
        return Err(Error::invalid(
            field,
            format!("{length} characters; expected at most {max}"),
        ));
    }
    Ok(())
}

fn on_one_line(field: &str, value: &str) -> Result<()> {
    match value.contains(char::is_control) {
        true => Err(Error::invalid(
            field,
            "it holds a control character; expected a person or an address on one line",
        )),
        false => Ok(()),
    }
}

fn number(field: &str, value: i64, min: i64, max: i64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("{value} given; expected {min} to {max}"),
    ))
}

fn within(field: &str, value: Duration, min: Duration, max: Duration) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let [value, min, max] = [value, min, max].map(span::format);
    Err(Error::invalid(
        field,
        format!("{value} given; expected {min} to {max}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(owner: String) -> Option<String> {
        let spec = TaskSpec {
            kind: "command".to_owned(),
            owner,
            ..TaskSpec::default()
        };
        let checked = spec.check(&"task".parse().unwrap(), "UTC");
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn an_owner_is_a_line_of_at_most_256_characters() {
        assert_eq!(refused(String::new()), None);
        assert_eq!(refused("Zoë <zoe@example.org>".to_owned()), None);
        assert_eq!(refused("é".repeat(OWNER_MAX)), None);
        for (owner, part) in [
            ("é".repeat(OWNER_MAX + 1), "257 characters"),
            ("ada\nbob".to_owned(), "control character"),
            ("ada\u{7f}".to_owned(), "control character"),
        ] {
            let told = refused(owner).unwrap();
            assert!(told.contains("owner") && told.contains(part), "{told}");
        }
    }
}
