//! `command`: runs a program that the configuration names. No shell reads its arguments.

mod group;
mod left;
mod output;

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;

use self::{group::Group, output::Output};
use super::{Env, named};
use crate::{
    config::{self, CommandConfig, Given, Masker, Secret, variables},
    engine::{Done, Failure, Kind, RunContext, Stream},
    error::{Error, Result},
};

/// What a command gets to end by itself, before it is killed.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// What the pipes get to run dry once the command has ended.
const DRY_GRACE: Duration = Duration::from_secs(2);
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Deserialize)]
pub(super) struct Command {
    /// A name below `[commands]`.
    command: String,
    /// What the command accepts besides.
    #[serde(flatten)]
    values: Map<String, Value>,
}

impl Command {
    fn config<'a>(&self, env: &'a Env) -> Result<&'a CommandConfig> {
        named(&env.shared.commands, "command", "commands", &self.command)
    }

    /// Its place in the configuration, as errors name it.
    fn place(&self) -> String {
        format!("[commands.{}]", self.command)
    }
}

impl Kind for Command {
    const NAME: &'static str = "command";
    const ABOUT: &'static str = "Runs a program that the configuration file names, without a shell";
    type Env = Env;

    fn check(&self, env: &Env) -> Result<()> {
        let config = self.config(env)?;
        startable(config).map_err(|reason| {
            Error::invalid("parameters.command", format!("{}: {reason}", self.place()))
        })?;
        config.accepts.check_own(&self.place(), &self.values)
    }

    fn check_run(&self, env: &Env) -> Result<()> {
        let config = self.config(env)?;
        startable(config).map_err(|reason| {
            Error::invalid("parameters.command", format!("{}: {reason}", self.place()))
        })?;
        config.accepts.given(&self.place(), &self.values).map(drop)
    }

    fn secrets(&self, env: &Env) -> Vec<String> {
        let config = self.config(env).ok();
        let names = config
            .into_iter()
            .flat_map(|config| config.accepts.secrets());
        names.map(str::to_owned).collect()
    }

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let config = self.config(&env)?;
        startable(config).map_err(|reason| anyhow!("{}: {reason}", self.place()))?;
        let given = config.accepts.given(&self.place(), &self.values);
        let given = given.map_err(Failure::never)?;
        if context.dry_run {
            context.log(format!(
                "dry run: {} is there and executable, and was not started",
                config.argv[0]
            ));
            return Ok(Done::nothing_to_do("dry run: not started"));
        }
        let data = &env.shared.data;
        let left = left::end(data, Some(context.run)).await;
        if left.context("could not look for what a killed server left")? > 0 {
            context
                .log("ended the command of an earlier attempt, which its killed server had left");
        }
        let mut child = prepare(config, &context, &given)?
            .spawn()
            .with_context(|| format!("could not start {}", config.argv[0]))?;
        let group = Group::of(&child)?;
        let _noted = left::note(data, context.run, context.token, group.id());
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), stdin_of(config, &given)) {
            // A program that does not read it closes it: that is its business.
            tokio::spawn(async move { stdin.write_all(text.as_bytes()).await });
        }
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let secrets = given.iter().filter_map(|given| given.secret.as_ref());
        let masker = Masker::new(secrets.map(Secret::expose));
        let output = Output::new(&context, masker);
        let mut reading = tokio::spawn(output.clone().read_both(out, err));

        let status = tokio::select! {
            status = child.wait() => status,
            () = context.cancel.cancelled() => {
                context.log("asked to stop: sending SIGTERM to the process group");
                group.terminate();
                match tokio::time::timeout(TERM_GRACE, child.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        context.log("still there: sending SIGKILL to the process group");
                        group.kill();
                        child.wait().await
                    }
                }
            }
        };
        let status = status.context("could not wait for the command")?;
        // Whatever it left behind in its group ends with it, and frees the pipes.
        group.end();
        if tokio::time::timeout(DRY_GRACE, &mut reading).await.is_err() {
            reading.abort();
            context.log_from(
                Stream::Log,
                "a process outside the group still holds the output open; it is no longer read",
            );
        }
        if context.cancel.is_cancelled() {
            let said = said(output.last_stderr_line());
            return Err(Failure::from(anyhow!("stopped: {status}{said}")));
        }
        judge(config, status, output.last_stderr_line())
    }
}

/// Ends the commands that killed servers of this host have left; says how many.
///
/// # Errors
/// Where one cannot be ended, or the data directory cannot be read.
pub(super) async fn end_left(data: &Path) -> anyhow::Result<usize> {
    left::end(data, None).await
}

/// Whether the command could be started now, or why not.
fn startable(config: &CommandConfig) -> std::result::Result<(), String> {
    let program = config.argv.first().map(String::as_str).unwrap_or_default();
    let about = std::fs::metadata(program)
        .map_err(|error| format!("the program {program} is not there: {error}"))?;
    if !about.is_file() || about.permissions().mode() & 0o111 == 0 {
        return Err(format!(
            "{program} is not executable; expected a program, or chmod +x it"
        ));
    }
    if let Some(directory) = &config.working_directory
        && !Path::new(directory).is_dir()
    {
        return Err(format!(
            "the working directory {} is not there",
            directory.display()
        ));
    }
    user_of(config).map(drop)
}

/// The user to run as, where it is another than the server's.
fn user_of(config: &CommandConfig) -> std::result::Result<Option<nix::unistd::User>, String> {
    let Some(name) = &config.user else {
        return Ok(None);
    };
    let found = nix::unistd::User::from_name(name)
        .map_err(|error| format!("could not look up user {name}: {error}"))?;
    let user = found.ok_or_else(|| format!("there is no user {name} on this host"))?;
    let own = nix::unistd::geteuid();
    if user.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        return Err(format!(
            "it runs as user {name}, and only a server that runs as root may do that"
        ));
    }
    Ok(Some(user))
}

/// What the command reads, where it reads anything.
fn stdin_of(config: &CommandConfig, given: &[Given]) -> Option<String> {
    match config.parameters_on_stdin {
        true => Some(format!("{}\n", config::as_json(given))),
        false => config.stdin.clone(),
    }
}

fn prepare(
    config: &CommandConfig,
    context: &RunContext,
    given: &[Given],
) -> anyhow::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(&config.argv[0]);
    command
        .args(&config.argv[1..])
        .env_clear()
        .env("PATH", PATH_DEFAULT);
    for name in &config.inherit_environment {
        if let Some(value) = config::variable(name) {
            command.env(name, value);
        }
    }
    let user = user_of(config).map_err(|reason| anyhow!(reason))?;
    if let Some(user) = &user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        command
            .env("HOME", &user.dir)
            .env("USER", &user.name)
            .env("LOGNAME", &user.name);
    }
    command.envs(&config.environment);
    command
        .env(variables::TASK, context.task.as_str())
        .env(variables::RUN, context.run.to_string())
        .env(variables::ATTEMPT, context.token.to_string());
    if let Some(nominal_at) = context.nominal_at {
        command.env(variables::NOMINAL_TIME, nominal_at.to_string());
    }
    for given in given {
        let name = given.name.to_ascii_uppercase();
        command.env(format!("{}{name}", variables::PARAMETER), given.text());
    }
    if let Some(directory) = &config.working_directory {
        command.current_dir(directory);
    }
    let stdin = if stdin_of(config, given).is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// The last line of stderr, behind what it explains.
fn said(last: Option<String>) -> String {
    last.map_or_else(String::new, |last| format!(": {last}"))
}

fn judge(
    config: &CommandConfig,
    status: std::process::ExitStatus,
    last: Option<String>,
) -> Result<Done, Failure> {
    use std::os::unix::process::ExitStatusExt as _;
    let Some(code) = status.code() else {
        let signal = status.signal().unwrap_or_default();
        return Err(Failure::from(anyhow!(
            "the command was ended by signal {signal}{}",
            said(last)
        )));
    };
    let message = format!("exit code {code}");
    if config.nothing_to_do_exit_codes.contains(&code) {
        return Ok(Done::nothing_to_do(message).count("exit_code", code));
    }
    if config.partial_exit_codes.contains(&code) {
        return Ok(Done::partial(message + &said(last)).count("exit_code", code));
    }
    if config.success_exit_codes.contains(&code) {
        return Ok(Done::worked(message).count("exit_code", code));
    }
    let error = match last {
        Some(last) => anyhow!("the command failed with {message}: {last}"),
        None => anyhow!("the command failed with {message}; its output is in the run's log"),
    };
    if config.no_retry_exit_codes.contains(&code) {
        return Err(Failure::never(error));
    }
    Err(Failure::from(error))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::*;
    use crate::domain::Outcome;

    fn config(text: &str) -> CommandConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn exit_codes_become_outcomes() {
        let config = config(
            r#"{"argv": ["/bin/true"], "nothing_to_do_exit_codes": [3], "partial_exit_codes": [4], "no_retry_exit_codes": [5]}"#,
        );
        let of = |code: i32| judge(&config, ExitStatus::from_raw(code << 8), None);
        assert_eq!(of(0).unwrap().outcome, Outcome::Worked);
        assert_eq!(of(3).unwrap().outcome, Outcome::NothingToDo);
        assert_eq!(of(4).unwrap().outcome, Outcome::Partial);
        assert_eq!(of(1).unwrap_err().again, crate::engine::Again::ByPolicy);
        assert_eq!(of(5).unwrap_err().again, crate::engine::Again::Never);
        assert!(
            judge(&config, ExitStatus::from_raw(9), None)
                .unwrap_err()
                .error
                .to_string()
                .contains("signal 9")
        );
    }

    #[test]
    fn what_cannot_be_started_is_refused_with_a_reason() {
        for (argv, expected) in [
            ("/no/such/program", "is not there"),
            ("/etc/passwd", "is not executable"),
            ("/usr", "is not executable"),
        ] {
            let config = config(&format!(r#"{{"argv": ["{argv}"]}}"#));
            let reason = startable(&config).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
        let config = config(r#"{"argv": ["/bin/true"], "user": "no-such-user-here"}"#);
        assert!(startable(&config).unwrap_err().contains("no user"));
    }
}
