//! Variables of the environment that begin as settings do and are none: what the server gives to
//! commands, what bellctl reads, and what tests and measurements are told.

/// What every setting's variable begins with.
pub(super) const PREFIX: &str = "WATCHBELL_";

/// The task's name, as a command is given it.
pub const TASK: &str = "WATCHBELL_TASK";
/// The run's id, as a command is given it.
pub const RUN: &str = "WATCHBELL_RUN";
/// The attempt's number, as a command is given it.
pub const ATTEMPT: &str = "WATCHBELL_ATTEMPT";
/// The slot's instant, as a command is given it where there is one.
pub const NOMINAL_TIME: &str = "WATCHBELL_NOMINAL_TIME";
/// Beginning of the variables that hold a run's parameters; the name follows in upper case.
pub const PARAMETER: &str = "WATCHBELL_PARAM_";

/// Says that this process was started anew by itself, and is not to be once more.
pub(super) const STARTED_ANEW: &str = "WATCHBELL_STARTED_ANEW";

/// Names that are no settings. A command may start the server's own program, and whoever uses bellctl may
/// start a server: neither must fail for what the other was told.
const OTHERS: [&str; 12] = [
    TASK,
    RUN,
    ATTEMPT,
    NOMINAL_TIME,
    STARTED_ANEW,
    // Read by bellctl.
    "WATCHBELL_ENDPOINT",
    "WATCHBELL_TOKEN",
    "WATCHBELL_TOKEN_FILE",
    "WATCHBELL_CONTEXT",
    "WATCHBELL_ACTOR",
    // Names the file, and so stands in none.
    "WATCHBELL_CONFIG",
    // Where the peers of a measurement are installed.
    "WATCHBELL_PEERS",
];
/// Beginnings of names that are no settings.
const BEGINNINGS: [&str; 2] = [PARAMETER, "WATCHBELL_TEST_"];

/// Whether a variable is a setting, or was meant as one, by its name behind [`PREFIX`].
pub(super) fn is_setting(key: &str) -> bool {
    let name = format!("{PREFIX}{}", key.to_ascii_uppercase());
    !OTHERS.contains(&name.as_str()) && !BEGINNINGS.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_and_read_elsewhere_is_no_setting() {
        for key in [
            "run",
            "ATTEMPT",
            "actor",
            "param_month",
            "param_a__b",
            "test_x",
            "token",
            "started_anew",
        ] {
            assert!(!is_setting(key), "{key}");
        }
        for key in [
            "tasks",
            "time_zone",
            "time_zon",
            "run_",
            "param",
            "runs",
            "log__filter",
        ] {
            assert!(is_setting(key), "{key}");
        }
    }
}
