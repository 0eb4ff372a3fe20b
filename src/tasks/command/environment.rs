//! The variables that a command sees; there are no others.

use std::{collections::BTreeMap, ffi::OsString};

use super::account::Account;
use crate::{
    config::{self, CommandConfig, Given, variables as names},
    engine::RunContext,
};

const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// As cron has it, whatever the user's own shell is: that of a service is often none at all.
const SHELL: &str = "/bin/sh";

/// Later ones win: those of the user, those that the server passes on, those of the configuration, those of the run.
/// For another user than the server's, the user's own stand above what is passed on.
pub(super) fn variables(
    config: &CommandConfig,
    given: &[Given],
    account: Option<&Account>,
    context: &RunContext,
) -> BTreeMap<OsString, OsString> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: OsString| variables.insert(name.into(), value);
    set("PATH", PATH_DEFAULT.into());
    set("SHELL", SHELL.into());
    let inherited: Vec<(&String, OsString)> = config
        .inherit_environment
        .iter()
        .filter_map(|name| Some((name, config::variable(name)?)))
        .collect();
    let another = account.is_some_and(|account| account.identity.is_some());
    if another {
        for (name, value) in &inherited {
            set(name, value.clone());
        }
    }
    if let Some(account) = account {
        set("HOME", account.home.clone().into());
        set("USER", account.name.clone().into());
        set("LOGNAME", account.name.clone().into());
    }
    if !another {
        for (name, value) in inherited {
            set(name, value);
        }
    }
    for (name, value) in &config.environment {
        set(name, value.into());
    }
    for (name, value) in of_the_run(context) {
        set(name, value.into());
    }
    for given in given {
        let name = format!("{}{}", names::PARAMETER, given.name.to_ascii_uppercase());
        set(&name, given.text().into());
    }
    variables
}

/// Variables that say which run this is. Whatever a command starts inherits them, by which it is known
/// ([`marks`]).
fn of_the_run(context: &RunContext) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        (names::TASK, context.task.to_string()),
        (names::RUN, context.run.to_string()),
        (names::ATTEMPT, context.token.to_string()),
    ];
    if let Some(nominal_at) = context.nominal_at {
        variables.push((names::NOMINAL_TIME, nominal_at.to_string()));
    }
    variables
}

/// What stands in the environment of everything that an attempt has started.
pub(super) fn marks(context: &RunContext) -> Vec<String> {
    vec![
        format!("{}={}", names::RUN, context.run),
        format!("{}={}", names::ATTEMPT, context.token),
    ]
}
