//! What the end of a command means for its run.

use anyhow::anyhow;

use super::leftovers::Fate;
use crate::{
    config::CommandConfig,
    engine::{Done, Failure},
};

/// How a program ended: by a code, or by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The last line of stderr, behind what it explains.
pub(super) fn said(last: Option<String>) -> String {
    last.map_or_else(String::new, |last| format!(": {last}"))
}

/// Judges by the configuration's codes; `last` is the last line of stderr. Leftovers that are worth a word make a success
/// partial.
pub(super) fn judge(
    config: &CommandConfig,
    end: End,
    fate: &Fate,
    last: Option<String>,
) -> Result<Done, Failure> {
    let told = fate.told();
    let more = told.map(|told| format!("; {told}")).unwrap_or_default();
    let code = match end {
        End::Code(code) => code,
        End::Signal(signal) => {
            return Err(Failure::from(anyhow!(
                "the command was ended by signal {signal}{}{more}",
                said(last)
            )));
        }
    };
    let is_in = |codes: &Vec<i32>| codes.contains(&code);
    let done = if is_in(&config.nothing_to_do_exit_codes) {
        Done::nothing_to_do(format!("{end}{more}"))
    } else if is_in(&config.partial_exit_codes) {
        Done::partial(format!("{end}{}{more}", said(last)))
    } else if is_in(&config.success_exit_codes) {
        Done::worked(format!("{end}{more}"))
    } else {
        let error = match last {
            Some(last) => anyhow!("the command failed with {end}: {last}{more}"),
            None => anyhow!("the command failed with {end}; its output is in the run's log{more}"),
        };
        return Err(if is_in(&config.no_retry_exit_codes) {
            Failure::never(error)
        } else {
            Failure::from(error)
        });
    };
    let done = done.count("exit_code", code);
    match fate.count() {
        0 => Ok(done),
        count => Ok(Done {
            outcome: crate::domain::Outcome::Partial,
            ..done.count("leftovers", i64::try_from(count).unwrap_or(i64::MAX))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Outcome, process::Living};

    fn config(text: &str) -> CommandConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn exit_codes_become_outcomes() {
        let config = config(
            r#"{"argv": ["/bin/true"], "nothing_to_do_exit_codes": [3], "partial_exit_codes": [4], "no_retry_exit_codes": [5]}"#,
        );
        let of = |code: i32| judge(&config, End::Code(code), &Fate::None, None);
        assert_eq!(of(0).unwrap().outcome, Outcome::Worked);
        assert_eq!(of(3).unwrap().outcome, Outcome::NothingToDo);
        assert_eq!(of(4).unwrap().outcome, Outcome::Partial);
        assert_eq!(of(1).unwrap_err().again, crate::engine::Again::ByPolicy);
        assert_eq!(of(5).unwrap_err().again, crate::engine::Again::Never);
        let killed = judge(&config, End::Signal(9), &Fate::None, None).unwrap_err();
        assert!(killed.error.to_string().contains("signal 9"));
    }

    #[test]
    fn leftovers_make_no_success_whole_and_no_failure_less() {
        let config = config(r#"{"argv": ["/bin/true"]}"#);
        let living = Living {
            named: vec![(77, "sleep 5".to_owned())],
            count: 1,
        };
        let done = judge(&config, End::Code(0), &Fate::GoesOn(living.clone()), None).unwrap();
        assert_eq!(done.outcome, Outcome::Partial);
        assert!(done.message.contains("77 (sleep 5)"), "{}", done.message);
        let failed = judge(&config, End::Code(1), &Fate::Ended(living), None).unwrap_err();
        let failed = failed.error.to_string();
        assert!(
            failed.contains("exit code 1") && failed.contains("77"),
            "{failed}"
        );
    }
}
