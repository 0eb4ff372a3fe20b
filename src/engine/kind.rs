//! What a kind of task is, and which kinds there are.

use std::{
    borrow::Cow, collections::BTreeMap, fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{context::RunContext, readiness::Need};
use crate::{
    domain::{
        Outcome, TaskName, TaskSpec, run::reason, schedule::Schedule, sealed,
        task::check_parameters,
    },
    error::{Error, Faults, Result},
    host::Unanswered,
};

/// One kind of work. A value of it is the parameters of one run, read from JSON: unknown or wrong
/// ones are refused when a task is made, not when it runs.
pub trait Kind: DeserializeOwned + Send + Sync + 'static {
    /// What tasks call it; never change it once released.
    const NAME: &'static str;
    /// What it does, in a sentence for people.
    const ABOUT: &'static str;
    /// What runs of this kind may use.
    type Env: Clone + Send + Sync + 'static;

    /// Checks what the configuration can tell, such as whether it names this command. What comes and goes on a host is
    /// [`Kind::needs`]'s.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a field below `parameters`.
    fn check(&self, env: &Self::Env) -> Result<()> {
        let _ = env;
        Ok(())
    }

    /// Checks the parameters of one run, among which are those that were handed over with its order.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a field below `parameters`.
    fn check_run(&self, env: &Self::Env) -> Result<()> {
        self.check(env)
    }

    /// Names of parameters whose values nobody is shown.
    fn secrets(&self, env: &Self::Env) -> Vec<String> {
        let _ = env;
        Vec::new()
    }

    /// Whether runs of it need something of this host that may come and go: then it is looked for again and again.
    const HAS_NEEDS: bool = false;

    /// What a run needs of this host now: programs, secrets, directories.
    fn needs(&self, env: &Self::Env) -> Vec<Need> {
        let _ = env;
        Vec::new()
    }

    /// Does the work. It must end soon after `context.cancel` is cancelled, and change nothing where
    /// `context.dry_run` is set.
    fn run(
        self,
        env: Self::Env,
        context: RunContext,
    ) -> impl Future<Output = Result<Done, Failure>> + Send;
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub outcome: Outcome,
    /// Why it is no more than this, for callers; empty: by its outcome.
    pub reason: &'static str,
    /// A line for people.
    pub message: String,
    /// What was counted, by names such as `documents_activated`.
    pub counters: BTreeMap<String, i64>,
    /// It had come to this before anything was asked of it.
    pub own: bool,
}

impl Done {
    pub fn worked(message: impl Into<String>) -> Self {
        Self::with(Outcome::Worked, message)
    }

    pub fn nothing_to_do(message: impl Into<String>) -> Self {
        Self::with(Outcome::NothingToDo, message)
    }

    pub fn partial(message: impl Into<String>) -> Self {
        Self::with(Outcome::Partial, message)
    }

    /// Says why, by one of [`crate::domain::run::reason`].
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    #[must_use]
    pub fn count(mut self, name: &str, number: impl TryInto<i64>) -> Self {
        let number = number.try_into().unwrap_or(i64::MAX);
        self.counters.insert(name.to_owned(), number);
        self
    }

    /// Says that the work had come to this before the run was asked to stop, though it returns only now: what is
    /// asked of it afterwards changes nothing. Of one that was asked nothing by its return that is known.
    #[must_use]
    pub fn of_its_own(mut self) -> Self {
        self.own = true;
        self
    }

    fn with(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            reason: "",
            message: message.into(),
            counters: BTreeMap::new(),
            own: false,
        }
    }
}

/// Whether and when a failed attempt is repeated, while attempts are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// By the task's policy.
    ByPolicy,
    /// After this long, and not before the task's policy would.
    After(Duration),
    /// Never: it would fail the same way.
    Never,
}

/// Why an attempt failed.
#[derive(Debug)]
pub struct Failure {
    pub error: anyhow::Error,
    pub again: Again,
    /// It had come to this before anything was asked of it.
    pub own: bool,
    /// One of [`reason`]'s, by which callers tell failures apart.
    pub reason: &'static str,
}

impl Failure {
    /// Says the same as [`Done::of_its_own`].
    #[must_use]
    pub fn of_its_own(mut self) -> Self {
        self.own = true;
        self
    }

    pub fn never(error: impl Into<anyhow::Error>) -> Self {
        Self {
            error: error.into(),
            again: Again::Never,
            own: false,
            reason: reason::ERROR,
        }
    }

    pub fn after(error: impl Into<anyhow::Error>, wait: Duration) -> Self {
        Self {
            error: error.into(),
            again: Again::After(wait),
            own: false,
            reason: reason::ERROR,
        }
    }

    /// The failure, by a reason of its own.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let reason = match error.chain().any(|cause| cause.is::<Unanswered>()) {
            true => reason::HOST_HANGS,
            false => reason::ERROR,
        };
        Self {
            error,
            again: Again::ByPolicy,
            own: false,
            reason,
        }
    }
}

/// A task that ships with the server.
#[derive(Clone, Debug)]
pub struct BuiltIn {
    pub name: Cow<'static, str>,
    /// Fields of a `TaskSpec`: the lowest layer.
    pub fields: Map<String, Value>,
    /// Whether a policy owns its schedule, which then stands in no configuration.
    pub owned: bool,
}

type RunFn = dyn Fn(Value, RunContext) -> BoxFuture<'static, Result<Done, Failure>> + Send + Sync;
type CheckFn = dyn Fn(Value) -> Result<()> + Send + Sync;
/// Checks a run's parameters, and answers which of them are secret.
type AdmitFn = dyn Fn(Value) -> Result<Vec<String>> + Send + Sync;
type NeedsFn = dyn Fn(Value) -> std::result::Result<Vec<Need>, String> + Send + Sync;

struct Entry {
    about: &'static str,
    check: Box<CheckFn>,
    admit: Box<AdmitFn>,
    needs: Option<Box<NeedsFn>>,
    run: Box<RunFn>,
}

/// The kinds this server can run, by name, and the tasks that ship with it: the one source of
/// schedule, dispatch, catalogue and manual trigger.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Entry>,
    built_ins: Vec<BuiltIn>,
}

impl Registry {
    /// Adds a kind. One of the same name takes the place of the one before.
    #[must_use]
    pub fn with<K: Kind>(mut self, env: K::Env) -> Self {
        let read = |parameters: Value| {
            serde_json::from_value::<K>(parameters).map_err(|error| {
                let error = error.to_string();
                let unknown = error.strip_prefix("unknown field `");
                let unknown = unknown.and_then(|rest| rest.split_once('`'));
                let field = unknown.map_or_else(
                    || "parameters".to_owned(),
                    |(name, _)| format!("parameters.{name}"),
                );
                Error::invalid(field, format!("{error} (kind {})", K::NAME))
            })
        };
        let (for_check, for_runs, for_needs) = (env.clone(), env.clone(), env.clone());
        let needs: Box<NeedsFn> = Box::new(move |parameters| match read(parameters) {
            Ok(task) => Ok(task.needs(&for_needs)),
            Err(error) => Err(error.to_string()),
        });
        let entry = Entry {
            about: K::ABOUT,
            check: Box::new(move |parameters| read(parameters)?.check(&for_check)),
            admit: Box::new(move |parameters| {
                let order = read(parameters)?;
                order.check_run(&for_runs)?;
                Ok(order.secrets(&for_runs))
            }),
            needs: K::HAS_NEEDS.then_some(needs),
            run: Box::new(move |parameters, context| {
                let env = env.clone();
                Box::pin(async move { read(parameters)?.run(env, context).await })
            }),
        };
        self.kinds.insert(K::NAME, entry);
        self
    }

    /// Adds a task that ships with the server.
    #[must_use]
    pub fn task(mut self, built_in: BuiltIn) -> Self {
        self.built_ins.push(built_in);
        self
    }

    pub fn built_ins(&self) -> &[BuiltIn] {
        &self.built_ins
    }

    /// Names and what they do, by name.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.kinds.iter().map(|(name, entry)| (*name, entry.about))
    }

    /// Kinds whose runs need something of this host that may come and go.
    pub fn kinds_with_needs(&self) -> impl Iterator<Item = &'static str> + '_ {
        let needy = self.kinds.iter().filter(|(_, entry)| entry.needs.is_some());
        needy.map(|(name, _)| *name)
    }

    /// What a run of this kind needs of this host.
    ///
    /// # Errors
    /// Where the kind cannot read the parameters.
    pub fn needs(
        &self,
        kind: &str,
        parameters: &Map<String, Value>,
    ) -> std::result::Result<Vec<Need>, String> {
        match self.kinds.get(kind).and_then(|entry| entry.needs.as_ref()) {
            Some(needs) => needs(Value::Object(parameters.clone())),
            None => Ok(Vec::new()),
        }
    }

    /// Whether there is such a kind, and it takes these parameters.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `kind` or a field below `parameters`.
    pub fn check(&self, kind: &str, parameters: &Map<String, Value>) -> Result<()> {
        (self.entry(kind)?.check)(Value::Object(parameters.clone()))
    }

    /// Checks the parameters of one run, before it is queued, and seals those that nobody is shown.
    ///
    /// # Errors
    /// As [`Registry::check`].
    pub(super) fn admit(&self, kind: &str, parameters: &mut Map<String, Value>) -> Result<()> {
        check_parameters(parameters)?;
        let secrets = (self.entry(kind)?.admit)(Value::Object(parameters.clone()))?;
        for name in secrets {
            if let Some(value) = parameters.get_mut(&name) {
                *value = sealed::sealed(value);
            }
        }
        Ok(())
    }

    fn entry(&self, kind: &str) -> Result<&Entry> {
        self.kinds.get(kind).ok_or_else(|| {
            let known: Vec<&str> = self.kinds.keys().copied().collect();
            Error::invalid(
                "kind",
                format!(
                    "there is no kind {kind:?}; expected one of {}",
                    known.join(", ")
                ),
            )
        })
    }

    /// Checks a specification against the rules and against its kind.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field.
    pub(super) fn check_spec(
        &self,
        name: &TaskName,
        spec: &TaskSpec,
        default_zone: &str,
    ) -> Result<Schedule> {
        let mut faults = Faults::default();
        let schedule = faults.take(spec.check(name, default_zone))?;
        if !spec.kind.is_empty() {
            let fits = faults.take(self.check(&spec.kind, &spec.parameters))?;
            if fits.is_some() && !spec.schedule.is_by_hand() {
                // Nobody hands its runs anything over.
                let admitted =
                    (self.entry(&spec.kind)?.admit)(Value::Object(spec.parameters.clone()));
                faults.take(admitted)?;
            }
        }
        faults.done_with(schedule)
    }

    /// Runs it; a panic, also in the making of the future, is a failure like another.
    pub(super) fn run(
        &self,
        kind: &str,
        parameters: Map<String, Value>,
        context: RunContext,
    ) -> BoxFuture<'static, Result<Done, Failure>> {
        let Some(entry) = self.kinds.get(kind) else {
            let error = anyhow::anyhow!("this server has no kind {kind:?}");
            return Box::pin(async { Err(Failure::never(error)) });
        };
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| {
            (entry.run)(Value::Object(parameters), context)
        }));
        match made {
            Ok(work) => work,
            Err(panic) => async move { std::panic::resume_unwind(panic) }.boxed(),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}

/// For hands that need the registry in several places.
pub type SharedRegistry = Arc<Registry>;
