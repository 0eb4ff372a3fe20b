//! `command`: runs a program that the configuration names. No shell reads its arguments.
//!
//! A launcher stands between the server and the program (`crate::process`): it tells how the program ends and what
//! that leaves, and ends all of it once the server has gone. `account` and `environment` say how it is started, `judge`
//! and `leftovers` what its end means, `notes` what is to be ended after a crash.

mod account;
mod ending;
mod environment;
mod judge;
mod leftovers;
mod notes;
mod output;
mod pipe;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use self::{
    account::{Account, startable},
    ending::{died, give_up},
    judge::{End, judge, said},
    leftovers::{Fate, Over, alone, settle, until_alone},
    output::Output,
    pipe::Pipe,
};
use super::{Env, named};
use crate::{
    config::{self, CommandConfig, Given, Masker, Secret},
    domain::RunId,
    engine::{Done, Failure, Kind, Need, RunContext},
    error::Result,
    host::{self, Question, UnderWay},
    process::{Launched, Living, Order, Remains, Report, Wish},
};

/// How long a program may take to be started, and its launcher before it.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// How long the end of a run's processes may take.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// What the pipes get to run dry once nothing lives any more.
const DRY_GRACE: Duration = Duration::from_secs(2);

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

    const HAS_NEEDS: bool = true;

    fn check(&self, env: &Env) -> Result<()> {
        let config = self.config(env)?;
        config.accepts.check_own(&self.place(), &self.values)
    }

    fn check_run(&self, env: &Env) -> Result<()> {
        let config = self.config(env)?;
        config.accepts.given(&self.place(), &self.values).map(drop)
    }

    fn secrets(&self, env: &Env) -> Vec<String> {
        let config = self.config(env).ok();
        let names = config
            .into_iter()
            .flat_map(|config| config.accepts.secrets());
        names.map(str::to_owned).collect()
    }

    fn needs(&self, env: &Env) -> Vec<Need> {
        let config = self.config(env).ok();
        let needs = config.map(account::needs).unwrap_or_default();
        let told = |need: Need| {
            let (place, look) = (self.place(), need.look);
            Need {
                look: Box::new(move || look().map_err(|what| format!("{place}: {what}"))),
                ..need
            }
        };
        needs.into_iter().map(told).collect()
    }

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let mut over: Over = Box::pin(context.grace_over());
        let config = self.config(&env)?;
        let account = startable(config).await;
        let account = account.map_err(|unready| unready.failure(&self.place()))?;
        let given = config.accepts.given(&self.place(), &self.values);
        let given = given.map_err(Failure::never)?;
        if context.dry_run {
            context.log(format!(
                "dry run: {} is there and executable, and was not started",
                config.argv[0]
            ));
            return Ok(Done::nothing_to_do("dry run: not started"));
        }
        let (data, run) = (env.shared.data.clone(), context.run);
        let what = "ending what an earlier attempt of this run has left";
        let left = of_run(run, what, move || notes::end(&data, Some(run))).await?;
        if left.context("could not end what an earlier attempt of this run had left")? > 0 {
            context.log("ended what an earlier attempt of this run had left of its command");
        }
        perform(config, &given, account, &env, &context, &mut over).await
    }
}

/// Ends the commands that killed servers have left on this host; says how many.
///
/// # Errors
/// Where one cannot be ended, or the data directory cannot be read.
pub(super) async fn end_left(data: &Path) -> anyhow::Result<usize> {
    let data = data.to_owned();
    let ended = tokio::task::spawn_blocking(move || notes::end(&data, None));
    ended.await.context("a thread panicked")?
}

/// Does what blocks, and what a process of this run may hold up.
async fn of_run<T: Send + 'static>(
    run: RunId,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let question = Question::of(format!("run {run}"), what).within(ENDS_WITHIN);
    let done = host::ask(question, work).await;
    Ok(done?)
}

/// Does something in the data directory.
async fn in_data<T: Send + 'static>(
    data: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let what = format!("noting the command in {}", data.display());
    let done = host::ask(Question::of_file(data, what), work).await;
    Ok(done?)
}

async fn perform(
    config: &CommandConfig,
    given: &[Given],
    account: Option<Account>,
    env: &Env,
    context: &RunContext,
    over: &mut Over,
) -> Result<Done, Failure> {
    let starting = starting(config).await?;
    let order = order(config, given, account, context);
    let (data, run, token) = (env.shared.data.clone(), context.run, context.token);
    let marks = environment::marks(context);
    let label = format!("{run}.{token}");
    let started = env
        .shared
        .launchers
        .start(&label, order, move |launcher, cgroup| {
            let remains = Remains {
                launcher: launcher.clone(),
                leader: None,
                cgroup: cgroup.map(|cgroup| cgroup.path().to_owned()),
                marks,
            };
            let noted = notes::note(&data, run, token, &remains);
            (remains, noted)
        });
    let (mut launched, written, (mut remains, noted)) = started.await?;
    launched.at_end({
        let noted = noted.clone();
        move |clean| {
            if clean {
                noted.remove();
            }
        }
    });
    let enough = CancellationToken::new();
    let secrets = given.iter().filter_map(|given| given.secret.as_ref());
    let masker = Masker::new(secrets.map(Secret::expose));
    let output = Output::new(context, masker);
    let [out, err] = [written.stdout, written.stderr].map(|pipe| Some(Pipe::new(pipe, &enough)));
    let mut reading = tokio::spawn(output.clone().read_both(out, err));

    let Ok(report) = tokio::time::timeout(STARTS_WITHIN, launched.report()).await else {
        let why = starting.hangs();
        tokio::spawn(give_up(launched, remains, noted, starting));
        return Err(why.into());
    };
    drop(starting);
    match report? {
        Some(Report::Started { leader }) => remains.leader = Some(leader),
        Some(Report::Refused { reason }) => return Err(anyhow!(reason).into()),
        _ => return Err(died(remains, noted).await.into()),
    }
    let noted = {
        let (data, remains) = (env.shared.data.clone(), remains.clone());
        in_data(&env.shared.data, move || {
            let again = notes::note(&data, run, token, &remains);
            noted.replaced_by(again)
        })
        .await?
    };
    let Some((end, living, own)) = until_ended(context, &mut launched, over).await? else {
        return Err(died(remains, noted).await.into());
    };
    let fate = match (living.is_empty(), own) {
        (true, _) => Fate::None,
        (false, true) => settle(config, context, &mut launched, over, living).await,
        (false, false) => until_gone(context, &mut launched, over).await,
    };
    let fate = match fate {
        // The launcher may not do everything that the server may, but knows what has come of it.
        Fate::Stuck(living) => {
            let what = "ending what the command has left";
            let seen_gone = of_run(run, what, move || remains.end_program()).await?;
            let told = tokio::time::timeout(DRY_GRACE, alone(&mut launched));
            match seen_gone && told.await == Ok(Fate::None) {
                true => Fate::Ended(living),
                false => Fate::Stuck(living),
            }
        }
        fate => fate,
    };
    // Where nothing lives any more, the pipes run dry.
    let dry = matches!(fate, Fate::None | Fate::Ended(_))
        && tokio::time::timeout(DRY_GRACE, &mut reading).await.is_ok();
    if dry {
        launched.ended().await;
    } else {
        enough.cancel();
        // An error is a panic of its own.
        let _ = reading.await;
        drop(launched);
    }
    // Else whoever is next to run this ends it first.
    if !matches!(fate, Fate::Stuck(_) | Fate::Unknown) {
        in_data(&env.shared.data, move || noted.remove()).await?;
    }
    if !own {
        let told = fate.told().map(|told| format!("; {told}"));
        let said = said(output.last_stderr_line());
        return Err(Failure::from(anyhow!(
            "stopped: {end}{said}{}",
            told.unwrap_or_default()
        )));
    }
    match judge(config, end, &fate, output.last_stderr_line()) {
        Ok(done) => Ok(done.of_its_own()),
        Err(failure) => Err(failure.of_its_own()),
    }
}

/// Begins a start of the program; refused where too many starts of it hang.
async fn starting(config: &CommandConfig) -> Result<UnderWay, Failure> {
    let program = Path::new(&config.argv[0]);
    let what = format!("starting the program {}", program.display());
    let question = Question::of_file(program, what).within(STARTS_WITHIN);
    Ok(host::begin(question).await?)
}

/// What the command reads, where it reads anything.
fn stdin_of(config: &CommandConfig, given: &[Given]) -> Option<String> {
    match config.parameters_on_stdin {
        true => Some(format!("{}\n", config::as_json(given))),
        false => config.stdin.clone(),
    }
}

fn order(
    config: &CommandConfig,
    given: &[Given],
    account: Option<Account>,
    context: &RunContext,
) -> Order {
    let variables = environment::variables(config, given, account.as_ref(), context);
    let mut order = Order::of(config.argv.iter().map(String::as_str));
    order.environment = variables
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    order.directory.clone_from(&config.working_directory);
    order.stdin = stdin_of(config, given);
    order.identity = account.and_then(|account| account.identity);
    let secrets = given.iter().filter_map(|given| given.secret.as_ref());
    order.secrets = secrets
        .flat_map(|secret| {
            let secret = secret.expose();
            // A shell parts what is not quoted into words.
            let words: Vec<&str> = secret.split_whitespace().collect();
            [secret.to_owned(), words.join(" ")]
        })
        .collect();
    order
}

/// How the program ended, what lives then, and whether it had not been asked to by then. None where the launcher has died.
async fn until_ended(
    context: &RunContext,
    launched: &mut Launched,
    over: &mut Over,
) -> anyhow::Result<Option<(End, Living, bool)>> {
    let (mut asked, mut killed) = (false, false);
    loop {
        tokio::select! {
            // An end that has come is heard before a wish.
            biased;
            report = launched.report() => match report? {
                Some(Report::Ended { code, signal, living }) => {
                    let end = match (code, signal) {
                        (Some(code), _) => End::Code(code),
                        (None, signal) => End::Signal(signal.unwrap_or_default()),
                    };
                    return Ok(Some((end, living, !asked)));
                }
                Some(Report::Stuck { living }) => bail!("it was killed and is still there: {living}"),
                Some(_) => {}
                None => return Ok(None),
            },
            () = context.cancel.cancelled(), if !asked => {
                asked = true;
                context.log("asked to stop: sending SIGTERM to the command and all that it has started");
                launched.wish(Wish::Terminate).await;
            }
            () = &mut *over, if asked && !killed => {
                killed = true;
                context.log("still there: sending SIGKILL to the command and all that it has started");
                launched.wish(Wish::Kill).await;
            }
        }
    }
}

/// Waits, once a command has ended that was asked to, for what it has started: within its grace, and by force then.
async fn until_gone(context: &RunContext, launched: &mut Launched, over: &mut Over) -> Fate {
    let gone = tokio::select! {
        biased;
        fate = alone(launched) => Some(fate),
        () = over => None,
    };
    match gone {
        Some(fate) => fate,
        None => {
            context.log("still there: sending SIGKILL to all that the command has started");
            launched.wish(Wish::Kill).await;
            until_alone(launched).await.unwrap_or(Fate::None)
        }
    }
}
